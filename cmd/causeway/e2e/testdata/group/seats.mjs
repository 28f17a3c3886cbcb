// Where people sit in a group call by livekit-client: a page in Chromium for each of them, of which a script asks what window.seat has (page.mjs).
import { createServer } from "node:http";
import { readFileSync } from "node:fs";
import { build } from "esbuild";
import { chromium } from "../pages/chromium.mjs";
import { devices } from "./devices.mjs";
import { within } from "./matrix.mjs";

// seats starts the browser. Its pictures are kept in folder.
export async function seats(folder) {
    // The application is a page with the library, and its worker for encryption.
    const bundle = await build({ entryPoints: ["group/page.mjs"], bundle: true, write: false, format: "esm", logLevel: "silent" });
    const files = {
        "/page.js": bundle.outputFiles[0].text,
        "/worker.js": readFileSync("node_modules/livekit-client/dist/livekit-client.e2ee.worker.js"),
    };
    const application = createServer((request, response) => {
        response.setHeader("Content-Type", files[request.url] ? "text/javascript" : "text/html");
        response.end(files[request.url] ?? '<!doctype html><html lang="en"><title>Call</title><link rel="icon" href="data:,"><script type="module" src="/page.js"></script>');
    });
    await new Promise((resolve) => application.listen(0, "127.0.0.1", resolve));
    const address = `http://127.0.0.1:${application.address().port}/`;

    const { open, run, close } = await chromium(folder, "group", { site: "none: the library complains when it has to connect anew", args: devices(folder) });

    // sit opens a page of somebody, who asks in it for what window.seat has.
    async function sit(who) {
        const tab = await open();
        await tab.goto(address);
        await tab.waitForFunction(() => window.seat);
        const state = () => tab.evaluate(() => window.seat.state());
        const ask = (method) => (...args) => {
            const asked = tab.evaluate(([name, values]) => window.seat[name](...values), [method, args]);
            return method === "state" ? asked : within(`${who.userId}: ${method}(${JSON.stringify(args).slice(0, 200)})`, asked, state);
        };
        return new Proxy({ tab }, { get: (own, method) => own[method] ?? (method === "then" ? undefined : ask(method)) });
    }

    function end() {
        application.close();
        return close();
    }

    return { sit, run, close: end };
}
