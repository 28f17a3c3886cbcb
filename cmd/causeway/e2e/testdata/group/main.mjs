// People in a group call by livekit-client in Chromium, each in a page of their own. Arguments: the address of the homeserver, a folder for
// screenshots, the version of the signalling ("v0": two connections, "v1": one), and whether it is encrypted end to end ("encrypted").
// Each line of standard output is what became of a step: {"name", "error"}.
import { Console } from "node:console";
import { strict as assert } from "node:assert";

globalThis.console = new Console(process.stderr);
const { seats } = await import("./seats.mjs");
const { homeserver } = await import("./matrix.mjs");

const [baseUrl, folder, version, encrypted] = process.argv.slice(2);

const { sit, run, close } = await seats(folder);
const { register, meet } = homeserver(baseUrl);
const named = (name) => register([name, version, encrypted].filter(Boolean).join("-"));
const [alice, bob, carol] = [await named("alice"), await named("bob"), await named("carol")];
const roomId = await meet(alice, bob, carol);

// enter has somebody come into the call.
async function enter(who, options = {}) {
    const seat = await sit(who);
    const { identity, connections } = await seat.join({
        ...who, roomId, singlePeerConnection: version === "v1", key: encrypted && "a key that all of them have", ...options,
    });
    assert.equal(identity, who.identity);
    assert.equal(connections, version === "v1" ? 1 : 2, "connections");
    return seat;
}

const camera = "camera", microphone = "microphone", screen = "screen_share";
const low = 0, high = 2; // qualities
const parts = [microphone, camera];
let a, b, c; // where they sit

// reconnect has bob come back from what a scenario of the library does to him, and hear and see all as before.
async function reconnect(scenario) {
    const before = await b.mark();
    await b.simulate(scenario);
    await b.heard("reconnected", {}, before);
    for (const other of [alice, carol]) await b.flows(other.identity);
    for (const other of [a, c]) await other.flows(bob.identity);
}

const steps = {
    async "one comes in and publishes"() {
        a = await enter(alice);
        await a.publish();
        assert.equal(await a.encrypted(), encrypted !== "");
    },

    async "a second sees and hears the first at once"() {
        b = await enter(bob);
        for (const source of parts) {
            const { encryption } = await b.heard("trackSubscribed", { who: alice.identity, source });
            assert.equal(encryption, encrypted ? 1 : 0, "whether the track is said to be encrypted");
        }
        await b.heard("firstFrame", { who: alice.identity, source: camera });
    },

    async "and the other way round"() {
        await b.publish();
        await a.heard("firstFrame", { who: bob.identity, source: camera });
        await Promise.all([a.flows(bob.identity), b.flows(alice.identity)]);
        for (const source of parts) await a.heard("localTrackSubscribed", { source });
    },

    async "how it goes"() {
        const { srtp, remote } = await b.transport();
        assert.match(srtp, /AEAD_AES_(128|256)_GCM$/);
        assert.equal(remote, "host/udp");
        assert.ok((await b.answers()).some((sdp) => /a=rtpmap:\d+ red\/48000/i.test(sdp)), "RED is not in what the server answers");
    },

    async "the camera is sent in layers"() {
        assert.deepEqual((await a.layers()).map((l) => l.rid), ["q", "h"]);
        await b.sized(alice.identity, 640);
    },

    async "the low layer, while the other pauses"() {
        await b.want(alice.identity, low);
        await b.sized(alice.identity, 320);
        await a.layersAre("q");
        await b.flows(alice.identity);
    },

    async "the high layer"() {
        await b.want(alice.identity, high);
        await b.sized(alice.identity, 640);
    },

    async "muted, and not any more"() {
        for (const source of parts) {
            const before = await b.mark();
            await a.mute(source, true);
            await b.heard("trackMuted", { who: alice.identity, source }, before);
            await a.mute(source, false);
            await b.heard("trackUnmuted", { who: alice.identity, source }, before);
        }
        await b.flows(alice.identity);
    },

    async "data"() {
        for (const [bytes, topic, reliable] of [[1000, "reliable", true], [500, "lossy", false], [14_000, "large", true]]) {
            await a.send(bytes, topic, reliable);
            await b.heard("dataReceived", { who: alice.identity, sum: bytes, topic });
        }
    },

    async "what one says of oneself"() {
        await a.metadata('{"hand":"raised"}');
        await b.heard("participantMetadataChanged", { who: alice.identity, metadata: '{"hand":"raised"}' });
    },

    async "who speaks, and how well they are heard"() {
        await b.speaks(alice.identity);
        await b.heard("connectionQualityChanged", { who: bob.identity });
    },

    async "not subscribed any more, and again"() {
        let before = await b.mark();
        await b.subscribe(alice.identity, false);
        for (const source of parts) await b.heard("trackUnsubscribed", { who: alice.identity, source }, before);
        before = await b.mark();
        await b.subscribe(alice.identity, true);
        await b.heard("firstFrame", { who: alice.identity, source: camera }, before);
        await b.flows(alice.identity);
    },

    async "one with another key sees nothing"() {
        c = await enter(carol, { key: "a key that nobody else has" });
        await c.heard("encryptionError");
        for (const other of [alice, bob]) await c.blind(other.identity);
        await c.leave();
        await a.heard("participantDisconnected", { who: carol.identity });
    },

    async "a third sees and hears both"() {
        c = await enter(carol, { stays: true });
        await c.publish();
        for (const other of [alice, bob]) await c.flows(other.identity);
        for (const other of [a, b]) await other.flows(carol.identity);
    },

    "the signalling is lost": () => reconnect("signal-reconnect"),
    "the connection is taken up": () => reconnect("resume-reconnect"),
    "the connection is made anew": () => reconnect("full-reconnect"),

    async "a screen is shared"() {
        await a.share(true);
        await b.heard("firstFrame", { who: alice.identity, source: screen });
        await a.share(false);
        await b.heard("trackUnpublished", { who: alice.identity, source: screen });
    },

    async "all could be decrypted"() {
        for (const seat of [a, b, c]) assert.deepEqual(await seat.errors(), []);
    },

    async "one is gone without a word"() {
        const before = await a.mark();
        await c.tab.close({ runBeforeUnload: false });
        await a.heard("participantDisconnected", { who: carol.identity }, before);
    },

    async "one leaves"() {
        const before = await a.mark();
        await b.leave();
        await a.heard("participantDisconnected", { who: bob.identity }, before);
    },

    async "a token that is none"() {
        const { status, reason } = await (await sit(carol)).refused({ ...carol, roomId });
        assert.equal(status, 401);
        assert.match(reason, /the access token is not valid/);
    },

    async "the same device twice"() {
        await enter(alice);
        const duplicate = 2; // DisconnectReason.DUPLICATE_IDENTITY
        await a.heard("disconnected", { reason: duplicate });
    },
};
if (!encrypted) delete steps["one with another key sees nothing"];
await run(steps);
await close();

// Browsers of those whom a step that failed has left would keep this process alive.
process.exit();
