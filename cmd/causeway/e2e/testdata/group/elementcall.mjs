// People call each other by Element Call as its makers have built it, which the homeserver serves: each in a browser of their own, with nothing
// but a link. Arguments: the address of the homeserver, a folder for screenshots, and the mode of Element Call: "compatibility", in which who is in
// a call is state of the room, or "matrix_2_0", in which it is sticky events (MSC4143, MSC4354). Each line of standard output is what became of a
// step: {"name", "error"}.
import { Console } from "node:console";
import { join } from "node:path";
import { strict as assert } from "node:assert";

globalThis.console = new Console(process.stderr);
const { chromium } = await import("../pages/chromium.mjs");
const { devices, modest } = await import("./devices.mjs");
const { homeserver, within } = await import("./matrix.mjs");
const { observing } = await import("./observe.mjs");
const { outsider } = await import("./outsider.mjs");

const [baseUrl, folder, mode] = process.argv.slice(2);
const { ask, register } = homeserver(baseUrl);
const args = devices(folder);

const forbidden = []; // what the policy of the page did not let it do
let shot = 0;

// person starts a browser for somebody.
async function person(name) {
    const engine = await chromium(folder, `elementcall-${name}`, {
        site: "none: Element Call complains of much that is as it should be",
        args,
    });
    const tab = await engine.open(modest);
    await tab.route("**/config.json", async (route) => {
        const response = await route.fetch();
        await route.fulfill({ response, json: { ...(await response.json()), matrix_rtc_mode: mode } });
    });
    const said = [];
    const asked = new Set(); // what has been asked for
    tab.on("request", (r) => asked.add(`${r.method()} ${decodeURIComponent(new URL(r.url()).pathname)}`));
    tab.on("console", (m) => {
        if (m.text().includes("Content Security Policy")) forbidden.push(`${name}: ${m.text()}`);
        if (m.type() === "error" || m.type() === "warning" || m.text().includes("livekitRoom.connect")) said.push(m.text().slice(0, 300));
    });
    tab.on("response", async (r) => {
        if (r.status() < 400) return;
        const { pathname } = new URL(r.url());
        said.push(`${r.request().method()} ${pathname}: ${r.status()} ${await r.text().catch(String)}`);
    });
    await tab.addInitScript(observing);
    const at = (id) => tab.getByTestId(id);
    const look = async (what) => {
        shot += 1;
        await tab.screenshot({ path: join(folder, `elementcall-${mode}-${String(shot).padStart(2, "0")}-${what}-${name}.png`) });
    };
    // state tells how it is, for those who wonder.
    const state = async () => {
        await look("wonder");
        return JSON.stringify({ now: await tab.evaluate(() => window.observed.others()), said: said.slice(-30) });
    };
    // seesAndHears waits for so many others.
    const seesAndHears = (n) => within(`${name} sees and hears ${n}`, tab.evaluate((k) => window.observed.until({ pictures: k, voices: k, tiles: k + 1 }), n), state);
    // token is the access token of the account that Element Call has made.
    const token = () => tab.evaluate(() => JSON.parse(localStorage.getItem("matrix-auth-store")));
    return { name, engine, tab, at, look, state, seesAndHears, token, asked };
}

const alice = await person("alice");
let bob, carol, link;

// comeBy has somebody come in by the link.
async function comeBy(name) {
    const who = await person(name);
    await who.tab.goto(link);
    await who.at("joincall_displayName").fill(name);
    await who.at("joincall_joincall").click();
    await who.at("lobby_joinCall").click();
    return who;
}

const room = () => decodeURIComponent(new URL(link).hash.match(/roomId=([^&]*)/)[1]);

const steps = {
    async "one begins a call"() {
        await alice.tab.goto(`${baseUrl}/`);
        await alice.at("home_callName").fill("Tea");
        await alice.at("home_displayName").fill("alice");
        await alice.look("home");
        await alice.at("home_go").click();
        await alice.at("lobby_joinCall").waitFor();
        await alice.look("lobby");
        link = alice.tab.url();
        assert.match(link, /\/room\/#\/.*password=/);
        await alice.at("lobby_joinCall").click();
        await alice.at("incall_leave").waitFor();
    },

    async "a second comes by the link"() {
        bob = await comeBy("bob");
        await Promise.all([alice.seesAndHears(1), bob.seesAndHears(1)]);
        await alice.look("two");
    },

    async "and a third"() {
        carol = await comeBy("carol");
        await Promise.all([alice, bob, carol].map((who) => who.seesAndHears(2)));
        await bob.look("three");
    },

    async "they say that they are in the call as the mode has it"() {
        const sticky = `/rooms/${room()}/send/org.matrix.msc4143.rtc.member/`, state = `/rooms/${room()}/state/org.matrix.msc3401.call.member/`;
        for (const { name, asked } of [alice, bob, carol]) {
            const told = (start) => [...asked].some((request) => request.startsWith(`PUT /_matrix/client/v3${start}`));
            const got = [told(sticky), told(state), asked.has("POST /livekit/jwt/sfu/get")];
            assert.deepEqual(got, mode === "matrix_2_0" ? [true, false, false] : [false, true, true], `${name}: ${[...asked].join("\n")}`);
        }
    },

    async "one leaves"() {
        await carol.at("incall_leave").click();
        await Promise.all([alice.seesAndHears(1), bob.seesAndHears(1)]);
        await carol.engine.close();
    },

    async "one is banned, and is out at once"() {
        const { access_token } = await alice.token();
        const { user_id } = await carol.token();
        const begun = Date.now();
        await ask("POST", `/rooms/${encodeURIComponent(room())}/ban`, access_token, { user_id });
        await within("carol's connection ends", carol.tab.evaluate(() => window.observed.until({ connections: 0, pictures: 0, voices: 0 })), carol.state);
        const took = Date.now() - begun;
        assert.ok(took < 10_000, `it took ${took} ms`); // a fraction of a second where nobody else wants the machine
        await Promise.all([alice.seesAndHears(1), bob.seesAndHears(1)]);
        await carol.look("banned");
        await carol.engine.close();
    },

    async "who has not the key of the link sees nothing of them"() {
        const eve = await register("eve");
        await ask("POST", `/rooms/${encodeURIComponent(room())}/join`, eve.accessToken, {});
        await outsider(folder, eve, room(), 2);
        await Promise.all([alice.seesAndHears(1), bob.seesAndHears(1)]);
    },

    async "one has no network for ten seconds, and is back"() {
        const network = await bob.tab.context().newCDPSession(bob.tab);
        const set = (offline) => network.send("Network.emulateNetworkConditions", {
            offline, latency: 0, downloadThroughput: offline ? 0 : -1, uploadThroughput: offline ? 0 : -1, packetLoss: offline ? 100 : 0,
        });
        await network.send("Network.enable");
        await set(true);
        await within("alice sees nothing of bob", alice.tab.evaluate(() => window.observed.until({ pictures: 0 })), alice.state);
        await new Promise((resolve) => setTimeout(resolve, 10_000)); // it is time that is tested
        await bob.look("offline");
        await set(false);
        await Promise.all([alice.seesAndHears(1), bob.seesAndHears(1)]);
        await bob.look("back");
    },

    async "one's browser is killed, and they are gone within seconds"() {
        const begun = Date.now();
        await bob.engine.kill();
        await within("alice is alone", alice.tab.evaluate(() => window.observed.until({ tiles: 1 })), alice.state);
        const took = Date.now() - begun;
        assert.ok(took < 30_000, `it took ${took} ms`);
        await alice.look("alone");
    },

    async "the page was let do what it wanted"() {
        assert.deepEqual(forbidden, []);
    },
};
// In each mode one goes in another way, and in both somebody is killed.
const others = { compatibility: ["one leaves"], matrix_2_0: ["one is banned, and is out at once", "one has no network for ten seconds, and is back"] };
for (const name of others[mode]) delete steps[name];
await alice.engine.run(steps);
await alice.engine.close();

// Browsers of those whom a step that failed has left would keep this process alive.
process.exit();
