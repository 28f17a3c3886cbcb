// What runs in a page of the test of group calls: a participant by livekit-client, who comes to their token as clients of Matrix do. main.mjs
// bundles it, and asks it by window.seat.
import { ExternalE2EEKeyProvider, Room, RoomEvent, setLogLevel, Track } from "livekit-client";
import { colours, watched } from "./eyes.mjs";

// connections are all that the library made.
const connections = watched();

let room;

// log is what has happened, in order. waiting are those who look whenever there is more.
const log = [];
const waiting = new Set();

function note(type, detail) {
    log.push({ type, ...detail });
    for (const look of waiting) look();
}

// told are the events of the library that are noted, and what of them.
const told = {
    [RoomEvent.Connected]: () => ({}),
    [RoomEvent.Reconnecting]: () => ({}),
    [RoomEvent.SignalReconnecting]: () => ({}),
    [RoomEvent.Reconnected]: () => ({}),
    [RoomEvent.Disconnected]: (reason) => ({ reason }),
    [RoomEvent.ParticipantConnected]: (p) => ({ who: p.identity }),
    [RoomEvent.ParticipantDisconnected]: (p) => ({ who: p.identity }),
    [RoomEvent.TrackPublished]: (pub, p) => ({ who: p.identity, source: pub.source }),
    [RoomEvent.TrackUnpublished]: (pub, p) => ({ who: p.identity, source: pub.source }),
    [RoomEvent.TrackUnsubscribed]: (track, pub, p) => ({ who: p.identity, source: pub.source }),
    [RoomEvent.TrackMuted]: (pub, p) => ({ who: p.identity, source: pub.source }),
    [RoomEvent.TrackUnmuted]: (pub, p) => ({ who: p.identity, source: pub.source }),
    [RoomEvent.ConnectionQualityChanged]: (quality, p) => ({ who: p.identity, quality }),
    [RoomEvent.DataReceived]: (data, p, kind, topic) => ({ who: p?.identity, sum: sum(data), topic }),
    [RoomEvent.ParticipantMetadataChanged]: (before, p) => ({ who: p.identity, metadata: p.metadata }),
    [RoomEvent.ParticipantEncryptionStatusChanged]: (on, p) => ({ who: p.identity, on }),
    [RoomEvent.EncryptionError]: (error) => ({ error: String(error) }),
    [RoomEvent.LocalTrackSubscribed]: (pub) => ({ source: pub.source }),
};

// heard waits for an event with a detail, since a time that mark told.
function heard(type, detail = {}, since = 0) {
    const matches = (e) => e.type === type && Object.entries(detail).every(([key, value]) => e[key] === value);
    return new Promise((resolve) => {
        const look = () => {
            const found = log.slice(since).find(matches);
            if (!found) return;
            waiting.delete(look);
            resolve(found);
        };
        waiting.add(look);
        look();
    });
}

// until waits for what rings no bell.
async function until(condition) {
    for (;;) {
        const result = await condition();
        if (result) return result;
        await new Promise((resolve) => setTimeout(resolve, 100)); // counters ring no bell
    }
}

async function ask(method, url, token, body) {
    const headers = token ? { Authorization: `Bearer ${token}` } : {};
    if (body) headers["Content-Type"] = "application/json";
    const answer = await fetch(url, { method, headers, body: body && JSON.stringify(body) });
    const json = await answer.json();
    if (!answer.ok) throw new Error(`${url}: ${answer.status} ${JSON.stringify(json)}`);
    return json;
}

// ticket asks for the token of a call (MSC4143, MSC4195), as Element Call does.
async function ticket({ baseUrl, userId, deviceId, accessToken, roomId }) {
    const client = `${baseUrl}/_matrix/client`;
    const { rtc_transports } = await ask("GET", `${client}/unstable/org.matrix.msc4143/rtc/transports`, accessToken);
    const { livekit_service_url: service } = rtc_transports.find((t) => t.type === "livekit");
    const openid_token = await ask("POST", `${client}/v3/user/${encodeURIComponent(userId)}/openid/request_token`, accessToken, {});
    return ask("POST", `${service}/sfu/get`, "", { room: roomId, openid_token, device_id: deviceId });
}

// join takes a seat in the call. With a key, it is encrypted end to end.
async function join({ singlePeerConnection, key, jwt, stays, codec = "vp8", ...who }) {
    setLogLevel("warn");
    const options = {
        singlePeerConnection, adaptiveStream: false, dynacast: true, disconnectOnPageLeave: !stays,
        publishDefaults: { simulcast: true, videoCodec: codec, backupCodec: false, red: true, dtx: true },
    };
    if (key) {
        const keyProvider = new ExternalE2EEKeyProvider();
        await keyProvider.setKey(key);
        options.encryption = { keyProvider, worker: new Worker("/worker.js") };
    }
    const taken = new Room(options);
    for (const [event, detail] of Object.entries(told)) taken.on(event, (...args) => note(event, detail(...args)));
    taken.on(RoomEvent.TrackSubscribed, show);
    taken.on(RoomEvent.TrackUnsubscribed, (track) => track.detach().forEach((element) => element.remove()));
    if (key) await taken.setE2EEEnabled(true);
    const may = await ticket(who);
    await taken.connect(may.url, jwt ?? may.jwt);
    room = taken;
    return { identity: room.localParticipant.identity, connections: connections.length };
}

// show plays a track, as a client does.
function show(track, publication, participant) {
    const detail = { who: participant.identity, source: publication.source };
    note(RoomEvent.TrackSubscribed, { ...detail, mimeType: publication.mimeType, encryption: publication.trackInfo.encryption });
    const element = track.attach();
    document.body.append(element);
    if (track.kind !== Track.Kind.Video) return;
    [element.muted, element.width, element.height] = [true, 320, 180];
    element.requestVideoFrameCallback(() => note("firstFrame", detail));
}

// publish has the others hear and see one.
async function publish() {
    await room.localParticipant.setMicrophoneEnabled(true);
    await room.localParticipant.setCameraEnabled(true, { resolution: { width: 640, height: 360, frameRate: 15 } });
}

const publication = (who, source) => room.remoteParticipants.get(who)?.getTrackPublication(source);

// inbound tells what has come of a track of somebody: numbers, and for a picture what it looks like.
async function inbound(who, source) {
    const track = publication(who, source)?.track;
    const all = [...((await track?.getRTCStatsReport())?.values() ?? [])];
    const { framesDecoded, frameWidth, bytesReceived, packetsReceived, totalAudioEnergy } = all.find((s) => s.type === "inbound-rtp") ?? {};
    const video = track?.attachedElements[0];
    return { framesDecoded, frameWidth, bytesReceived, packetsReceived, totalAudioEnergy, colours: video?.videoWidth ? colours(video) : 0 };
}

// flows waits until more of somebody's sound and picture has come than there was: a second of it.
async function flows(who) {
    const grows = async (source, of, enough) => {
        let from;
        return until(async () => {
            const now = (await inbound(who, source))[of];
            if (now === undefined) return;
            if (from === undefined || now < from) from = now; // a new connection counts anew
            return now - from > enough;
        });
    };
    await Promise.all([
        grows(Track.Source.Camera, "framesDecoded", 12),
        grows(Track.Source.Microphone, "packetsReceived", 20),
        grows(Track.Source.Microphone, "totalAudioEnergy", 0),
    ]);
    return until(async () => {
        const picture = await inbound(who, Track.Source.Camera);
        return picture.colours > 10 && picture;
    });
}

// sized waits until the picture of somebody is of a width.
const sized = (who, width) => until(async () => (await inbound(who, Track.Source.Camera)).frameWidth === width);

// narrower waits until the picture of somebody is of less than a width.
const narrower = (who, width) => until(async () => (await inbound(who, Track.Source.Camera)).frameWidth < width);

// sends is whether this browser can send a codec.
const sends = (codec) => RTCRtpSender.getCapabilities("video").codecs.some((c) => c.mimeType.toLowerCase() === `video/${codec}`);

// blind waits until a second and more of somebody's picture has come, of which nothing could be decoded.
const blind = (who) => until(async () => {
    const { bytesReceived, framesDecoded } = await inbound(who, Track.Source.Camera);
    return bytesReceived > 50_000 && !framesDecoded;
});

// tracks waits until so many have come, and gives whose each is, of what, and whether it is said to be encrypted.
const tracks = (n) => until(() => {
    const come = log.filter((e) => e.type === RoomEvent.TrackSubscribed);
    return come.length >= n && come;
});

// layers are those that one's own camera sends: their names and whether anybody wants them.
async function layers() {
    const track = room.localParticipant.getTrackPublication(Track.Source.Camera).track;
    const all = [...(await track.getRTCStatsReport()).values()].filter((s) => s.type === "outbound-rtp" && s.kind === "video");
    return all.map(({ rid, active, frameWidth }) => ({ rid, active, frameWidth })).sort((a, b) => a.rid < b.rid ? 1 : -1);
}

// layersAre waits until the layers that are sent are these.
const layersAre = (...rids) => until(async () => {
    const now = (await layers()).filter((l) => l.active).map((l) => l.rid);
    return now.length === rids.length && rids.every((rid) => now.includes(rid)) && now;
});

// want asks for a quality of somebody's picture.
const want = (who, quality) => publication(who, Track.Source.Camera).setVideoQuality(quality);

const subscribe = (who, on) => room.remoteParticipants.get(who).trackPublications.forEach((p) => p.setSubscribed(on));

const mute = (source, on) => source === Track.Source.Camera ? room.localParticipant.setCameraEnabled(!on) : room.localParticipant.setMicrophoneEnabled(!on);

// sum is what bytes are known by.
const sum = (data) => data.reduce((n, byte) => n + byte, 0);

// send sends n bytes of 1 to all.
const send = (n, topic, reliable) => room.localParticipant.publishData(new Uint8Array(n).fill(1), { reliable, topic });

// speaks waits until somebody is found to speak.
function speaks(who) {
    return new Promise((resolve) => {
        const look = () => room.activeSpeakers.some((p) => p.identity === who) && resolve();
        room.on(RoomEvent.ActiveSpeakersChanged, look);
        look();
    });
}

// answers are the session descriptions that the server sent.
const answers = () => connections.map((pc) => pc.remoteDescription?.sdp ?? "");

// transport tells how the connection is encrypted and by what way it goes.
async function transport() {
    for (const pc of connections.filter((pc) => pc.connectionState === "connected")) {
        const all = [...(await pc.getStats()).values()];
        const found = all.find((s) => s.type === "transport" && s.srtpCipher);
        if (!found) continue;
        const pair = all.find((s) => s.id === found.selectedCandidatePairId);
        const remote = all.find((s) => s.id === pair?.remoteCandidateId);
        return { srtp: found.srtpCipher, remote: `${remote?.candidateType}/${remote?.protocol}` };
    }
}

// refused is what becomes of a token that is none: what the server says, and what the library makes of it.
async function refused(who) {
    const { url } = await ticket(who);
    const { status } = await fetch(`${url.replace(/^ws/, "http")}/rtc/validate?access_token=bad`);
    const reason = await new Room().connect(url, "bad").then(() => "none", (error) => error.message);
    return { status, reason };
}

// state tells how far it has come, for those who wonder why it goes no further.
async function state() {
    const seen = [...(room?.remoteParticipants.keys() ?? [])];
    const flowing = {};
    for (const who of seen) {
        for (const source of [Track.Source.Camera, Track.Source.Microphone]) flowing[`${who} ${source}`] = await inbound(who, source);
    }
    const how = connections.map((pc) => `${pc.connectionState}/${pc.signalingState}`);
    const told = log.filter((e) => e.type !== RoomEvent.ConnectionQualityChanged).slice(-25);
    return JSON.stringify({ room: room?.state, how, flowing, log: told });
}

window.seat = {
    join, publish, heard, flows, sized, narrower, sends, blind, tracks, layers, layersAre, want, subscribe, mute, send, speaks, answers, transport, refused, state, encrypted: () => room.isE2EEEnabled,
    mark: () => log.length,
    errors: () => log.filter((e) => e.type === RoomEvent.EncryptionError),
    metadata: (text) => room.localParticipant.setMetadata(text),
    share: (on) => room.localParticipant.setScreenShareEnabled(on),
    simulate: (scenario) => room.simulateScenario(scenario),
    leave: () => room.disconnect(),
};
