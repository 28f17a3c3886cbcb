// What runs in a page of the test of calls: a client of matrix-js-sdk that calls and is called, by a TURN server alone. main.mjs bundles it, and
// asks it by window.phone.
import { ClientEvent, createClient, SyncState } from "matrix-js-sdk";
import { CallEvent, CallState } from "matrix-js-sdk/lib/webrtc/call.js";
import { CallEventHandlerEvent } from "matrix-js-sdk/lib/webrtc/callEventHandler.js";
import { colours } from "../group/eyes.mjs";

let client, call;
let ring; // resolves when somebody calls
const incoming = () => new Promise((resolve) => (ring = resolve));
let ringing = incoming();

// start logs in as somebody. Of the ways to the TURN server it uses those whose URI matches.
async function start({ way, ...options }) {
    client = createClient({ ...options, forceTURN: true });
    const ask = client.turnServer.bind(client);
    client.turnServer = async () => {
        const answer = await ask();
        answer.uris = answer.uris.filter((uri) => new RegExp(way).test(uri));
        if (answer.uris.length === 0) throw new Error(`no URI of the TURN server matches ${way}`);
        return answer;
    };
    client.on(CallEventHandlerEvent.Incoming, (its) => {
        call = its;
        ring();
    });
    const prepared = new Promise((resolve) => client.on(ClientEvent.Sync, (state) => state === SyncState.Prepared && resolve()));
    await client.startClient();
    await prepared;
}

// reached resolves when the call comes to a state.
function reached(state) {
    return new Promise((resolve, reject) => {
        const look = () => {
            if (call.state === state) resolve();
            else if (call.state === CallState.Ended) reject(new Error(`the call has ended: ${call.hangupReason}`));
        };
        call.on(CallEvent.State, look);
        call.on(CallEvent.Error, reject);
        look();
    });
}

async function dial(roomId) {
    call = client.createCall(roomId);
    await call.placeVideoCall();
    await reached(CallState.Connected);
}

async function pickUp() {
    await ringing;
    ringing = incoming();
    await reached(CallState.Ringing);
    await call.answer(true, true);
    await reached(CallState.Connected);
}

// show plays what comes from the other side, as a client does.
function show() {
    const video = document.querySelector("video");
    video.srcObject = call.getRemoteFeeds()[0].stream;
    return video.play();
}

// media tells what has come, and by what way.
async function media() {
    const all = [...(await call.peerConn.getStats()).values()];
    const inbound = (kind) => all.find((s) => s.type === "inbound-rtp" && s.kind === kind);
    const transport = all.find((s) => s.type === "transport");
    const pair = all.find((s) => s.id === transport?.selectedCandidatePairId);
    const candidate = (id) => all.find((s) => s.id === id);
    const mine = candidate(pair?.localCandidateId);
    return {
        frames: inbound("video")?.framesDecoded ?? 0,
        energy: inbound("audio")?.totalAudioEnergy ?? 0,
        colours: colours(document.querySelector("video")),
        mine: mine?.candidateType,
        relayProtocol: mine?.relayProtocol,
        theirs: candidate(pair?.remoteCandidateId)?.candidateType,
    };
}

// heard waits until there are a picture and sound for a second and more.
async function heard() {
    await show();
    for (;;) {
        const now = await media();
        if (now.frames > 25 && now.energy > 0 && now.colours > 10) return now;
        await new Promise((resolve) => setTimeout(resolve, 200)); // counters ring no bell
    }
}

function hangUp() {
    call.hangup("user_hangup", false);
}

async function ended() {
    if (call.state !== CallState.Ended) await new Promise((resolve) => call.on(CallEvent.Hangup, resolve));
    return { party: call.hangupParty, reason: call.hangupReason };
}

// state tells how far the call is, for those who wonder why it goes no further.
async function state() {
    const pc = call?.peerConn;
    const how = { call: call?.state, ice: pc?.iceConnectionState, gathering: pc?.iceGatheringState, signalling: pc?.signalingState };
    return JSON.stringify({ ...how, ...(pc ? await media() : {}) });
}

window.phone = { start, state, dial, pickUp, heard, media, hangUp, ended, stop: () => client.stopClient() };
