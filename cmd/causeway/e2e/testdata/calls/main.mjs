// Two pages in Chromium call each other with matrix-js-sdk, by the homeserver's TURN server alone. Arguments: the address of the homeserver,
// a folder for screenshots, and the addresses of its metrics with their token. Each line of standard output is what became of a step: {"name", "error"}.
import { Console } from "node:console";
import { createServer } from "node:http";
import { strict as assert } from "node:assert";

globalThis.console = new Console(process.stderr);
const { build } = await import("esbuild");
const { chromium } = await import("../pages/chromium.mjs");
const { devices } = await import("../group/devices.mjs");
const { homeserver, within } = await import("../group/matrix.mjs");

const [baseUrl, folder, metricsUrl, metricsToken] = process.argv.slice(2);

// The application is a page with a client.
const bundle = await build({ entryPoints: ["calls/page.mjs"], bundle: true, write: false, format: "esm", logLevel: "silent" });
const application = createServer((request, response) => {
    if (request.url === "/page.js") {
        response.setHeader("Content-Type", "text/javascript");
        response.end(bundle.outputFiles[0].text);
    } else {
        response.setHeader("Content-Type", "text/html");
        response.end('<!doctype html><html lang="en"><title>Call</title><link rel="icon" href="data:,"><video></video><script type="module" src="/page.js"></script>');
    }
});
await new Promise((resolve) => application.listen(0, "127.0.0.1", resolve));
const page = `http://127.0.0.1:${application.address().port}/`;

const { open, run, close } = await chromium(folder, "calls", {
    site: "none: the SDK complains when a page is left in the middle of a request",
    args: [...devices(folder), "--ignore-certificate-errors"],
});

// metric reads one of the TURN server's.
async function metric(name) {
    const text = await (await fetch(metricsUrl, { headers: { Authorization: `Bearer ${metricsToken}` } })).text();
    return Number(text.match(new RegExp(`^causeway_turn_${name} (.*)$`, "m"))[1]);
}

const { ask, register } = homeserver(baseUrl);
const alice = await register("alice");
const bob = await register("bob");
const { room_id: room } = await ask("POST", "/createRoom", alice.accessToken, { preset: "trusted_private_chat", invite: [bob.userId], is_direct: true });
await ask("POST", `/rooms/${encodeURIComponent(room)}/join`, bob.accessToken, {});

// phone opens a page in which somebody is logged in, and reaches the TURN server by one way.
async function phone(who, way) {
    const tab = await open();
    await tab.goto(page);
    await tab.waitForFunction(() => window.phone);
    await tab.evaluate((options) => window.phone.start(options), { ...who, way });
    return tab;
}

// soon is a promise of somebody's telephone that must not take too long.
const soon = (tab, what, promise) => within(what, promise, () => tab.evaluate(() => window.phone.state()));

// talk is a call from the first hello to the end.
async function talk(hers, his, protocols) {
    const before = await metric("sent_bytes_total");
    const [a, b] = [await phone(alice, hers), await phone(bob, his)];
    await Promise.all([
        soon(a, "dialling", a.evaluate((roomId) => window.phone.dial(roomId), room)),
        soon(b, "picking up", b.evaluate(() => window.phone.pickUp())),
    ]);
    const heard = await Promise.all([a, b].map((tab) => soon(tab, "listening", tab.evaluate(() => window.phone.heard()))));
    heard.forEach(({ mine, theirs, relayProtocol }, i) => {
        assert.deepEqual({ mine, theirs, relayProtocol }, { mine: "relay", theirs: "relay", relayProtocol: protocols[i] });
    });
    const relayed = (await metric("sent_bytes_total")) - before;
    assert.ok(relayed > 50_000, `only ${relayed} bytes went by the TURN server`);
    assert.ok((await metric("allocations")) >= 2);
    const seen = soon(b, "hearing the other hang up", b.evaluate(() => window.phone.ended()));
    await a.evaluate(() => window.phone.hangUp());
    assert.deepEqual(await seen, { party: "remote", reason: "user_hangup" });
    for (const tab of [a, b]) {
        await tab.evaluate(() => window.phone.stop());
        await tab.context().close();
    }
    // Both give their relays back.
    for (const until = Date.now() + 20_000; (await metric("allocations")) > 0;) assert.ok(Date.now() < until, "there are still relays");
}

const udp = "^turn:.*transport=udp$", tcp = "^turn:.*transport=tcp$", tls = "^turns:";
await run({
    "by UDP": () => talk(udp, udp, ["udp", "udp"]),
    "by TCP": () => talk(tcp, tcp, ["tcp", "tcp"]),
    "by TLS": () => talk(tls, tls, ["tls", "tls"]),
    "by UDP with somebody by TLS": () => talk(udp, tls, ["udp", "tls"]),
    "by what there is": () => talk("", "", ["udp", "udp"]),
});
await close();
application.close();
