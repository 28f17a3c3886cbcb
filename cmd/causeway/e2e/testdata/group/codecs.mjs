// Three people in a group call by livekit-client in Chromium, who send their pictures in one codec and see those of the others: at once, in the layer
// that they ask for, and when they come later. Arguments: the address of the homeserver, a folder for screenshots, and the codec. Each line of
// standard output is what became of a step: {"name", "error", "skip"}.
import { Console } from "node:console";
import { strict as assert } from "node:assert";

globalThis.console = new Console(process.stderr);
const { Skip } = await import("../pages/chromium.mjs");
const { seats } = await import("./seats.mjs");
const { homeserver } = await import("./matrix.mjs");

const [baseUrl, folder, codec] = process.argv.slice(2);
const { sit, run, close } = await seats(folder);
const { register, meet } = homeserver(baseUrl);
const [alice, bob, carol] = [await register(`alice-${codec}`), await register(`bob-${codec}`), await register(`carol-${codec}`)];
const roomId = await meet(alice, bob, carol);
const low = 0, high = 2; // qualities
const key = codec === "av1" ? "" : "a key that all of them have"; // the library does not encrypt AV1 end to end
let a, b, c;

// enter has somebody come into the call, and send what they have.
async function enter(who) {
    const seat = await sit(who);
    if (!(await seat.sends(codec))) throw new Skip(`this Chromium cannot send ${codec}`);
    await seat.join({ ...who, roomId, singlePeerConnection: true, codec, key });
    await seat.publish();
    return seat;
}

await run({
    async "two see and hear each other"() {
        a = await enter(alice);
        b = await enter(bob);
        const { mimeType } = await b.heard("trackSubscribed", { who: alice.identity, source: "camera" });
        assert.equal(mimeType.toLowerCase(), `video/${codec}`);
        await Promise.all([a.flows(bob.identity), b.flows(alice.identity)]);
    },

    async "in the layer that one wants"() {
        await b.sized(alice.identity, 640);
        await b.want(alice.identity, low);
        await b.narrower(alice.identity, 640);
        await b.flows(alice.identity);
        await b.want(alice.identity, high);
        await b.sized(alice.identity, 640);
    },

    async "a third sees and hears both, and the others them"() {
        c = await enter(carol);
        await Promise.all([c.flows(alice.identity), c.flows(bob.identity), a.flows(carol.identity), b.flows(carol.identity)]);
        for (const seat of [a, b, c]) assert.deepEqual(await seat.errors(), []);
    },
});
await close();

// Browsers of those whom a step that failed has left would keep this process alive.
process.exit();
