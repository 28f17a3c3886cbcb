// People call each other by Element Call as a widget of their client, with a key for each of them. Arguments: the address of the homeserver, and a
// folder for screenshots. Each line of standard output is what became of a step: {"name", "error"}.
import { Console } from "node:console";
import { createServer } from "node:http";
import { readFile } from "node:fs/promises";
import { extname, join } from "node:path";
import { strict as assert } from "node:assert";

globalThis.console = new Console(process.stderr);
const { chromium } = await import("../pages/chromium.mjs");
const { devices, modest } = await import("./devices.mjs");
const { homeserver, within } = await import("./matrix.mjs");
const { observing } = await import("./observe.mjs");
const { outsider } = await import("./outsider.mjs");

const [baseUrl, folder] = process.argv.slice(2);

// The client is a page, which has the widget on its own address.
const types = { ".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".json": "application/json", ".wasm": "application/wasm" };
const client = createServer(async (request, response) => {
    const path = new URL(request.url, "http://client").pathname;
    let body = '<!doctype html><html lang="en"><title>Client</title><link rel="icon" href="data:,"><body><script type="module" src="/host.mjs"></script>';
    let type = "text/html";
    if (path !== "/") {
        const file = path === "/host.mjs" ? "group/host.mjs" : join("node_modules/@element-hq/element-call-embedded/dist", path.replace(/^\/call\//, ""));
        body = await readFile(file).catch(() => null);
        type = types[extname(path)] ?? (path === "/host.mjs" ? "text/javascript" : "application/octet-stream");
    }
    response.writeHead(body === null ? 404 : 200, { "Content-Type": type });
    response.end(body ?? "");
});
await new Promise((resolve) => client.listen(0, "127.0.0.1", resolve));
const address = `http://127.0.0.1:${client.address().port}/`;

const { open, run, close } = await chromium(folder, "widget", {
    site: "none: Element Call complains of much that is as it should be",
    known: ["Not ready or unknown widget ID", "Transport stopped"], // Element Call tells its client something after it has hung up, now and then
    args: devices(folder),
});

const { ask, register, meet } = homeserver(baseUrl);
const [alice, bob, carol, eve] = [await register("alice"), await register("bob"), await register("carol"), await register("eve")];
const roomId = await meet(alice, bob, carol, eve);
// Calls are encrypted as their rooms are.
await ask("PUT", `/rooms/${encodeURIComponent(roomId)}/state/m.room.encryption`, alice.accessToken, { algorithm: "m.megolm.v1.aes-sha2" });

// call has somebody come into the call of the room.
async function call(who, intent) {
    const tab = await open(modest);
    const said = [];
    tab.on("console", (m) => (m.type() === "error" || m.type() === "warning") && said.push(m.text().slice(0, 300)));
    await tab.addInitScript(observing);
    await tab.goto(address);
    await tab.waitForFunction(() => window.host);
    await tab.evaluate((options) => window.host.call(options), { ...who, roomId, intent });
    const widget = await (await tab.waitForSelector("iframe")).contentFrame();
    const look = (name) => tab.screenshot({ path: join(folder, `widget-${name}.png`) });
    const state = async () => {
        await look("wonder");
        return JSON.stringify({ asked: await tab.evaluate(() => window.host.asked()), said: said.slice(-15) });
    };
    const until = (wanted) => within(`${who.userId}: ${JSON.stringify(wanted)}`, widget.evaluate((w) => window.observed.until(w), wanted), state);
    return { tab, widget, look, until };
}

let hers, his, third;
await run({
    async "two see and hear each other"() {
        hers = await call(alice, "start_call");
        await hers.until({ tiles: 1 });
        his = await call(bob, "join_existing");
        await Promise.all([hers, his].map((tab) => tab.until({ pictures: 1, voices: 1, tiles: 2 })));
        await hers.look("two");
        const asked = await his.tab.evaluate(() => window.host.asked());
        // Their keys go from device to device, and their tokens come by what the homeserver says.
        for (const action of ["send_to_device", "org.matrix.msc4515.get_rtc_transports", "get_openid"]) assert.ok(asked.includes(action), `${action}: ${asked}`);
    },

    async "and three"() {
        third = await call(carol, "join_existing");
        await Promise.all([hers, his, third].map((tab) => tab.until({ pictures: 2, voices: 2, tiles: 3 })));
        await third.look("three");
    },

    async "one hangs up"() {
        await his.widget.getByTestId("incall_leave").click();
        await Promise.all([hers, third].map((tab) => tab.until({ tiles: 2, pictures: 1, voices: 1 })));
    },

    async "who has not their keys sees nothing of them"() {
        await outsider(folder, eve, roomId, 2);
        await Promise.all([hers, third].map((tab) => tab.until({ tiles: 2, pictures: 1, voices: 1 })));
    },
});
await close();
client.close();

// Browsers of those whom a step that failed has left would keep this process alive.
process.exit();
