// Drives the page of the calls that run in Chromium. Arguments: the address of the homeserver, a folder for screenshots, a room in whose call
// alice sends and bob gets, an administrator's name and password, and alice's access token. Each line of standard output is what became of a step.
import { Console } from "node:console";
import { strict as assert } from "node:assert";

globalThis.console = new Console(process.stderr);
const { chromium } = await import("./chromium.mjs");

const [baseUrl, folder, room, admin, adminPassword, aliceToken] = process.argv.slice(2);
const address = `${baseUrl}/_causeway/calls/`;
const { open, look, run, close } = await chromium(folder, "calls");
const desk = await open();
const phone = await open({ viewport: { width: 360, height: 740 }, colorScheme: "dark" });
const plain = await open({ javaScriptEnabled: false });
const stranger = await open();

async function signIn(page, user, password) {
    await page.getByLabel("User name").fill(user);
    await page.getByLabel("Password").fill(password);
    await page.getByRole("button", { name: "Sign in" }).click();
}

// rate waits until a bit rate is shown of what is sent.
async function rate(page) {
    const told = page.locator("dd", { hasText: /[1-9][0-9]* kbit\/s/ }).first();
    await told.waitFor();
    return told.textContent();
}

await run({
    async "strangers see nothing"() {
        const answer = await stranger.goto(address);
        assert.equal(answer.status(), 200);
        await stranger.getByRole("heading", { name: "Sign in", level: 1 }).waitFor();
        assert.ok(!(await stranger.content()).includes(room));
    },

    async "users see nothing"() {
        const status = await fetch(`${address}status`, { headers: { Authorization: `Bearer ${aliceToken}` } });
        assert.equal(status.status, 403);
        await stranger.goto(`${baseUrl}/_causeway/account/register`);
        await stranger.getByLabel("User name").fill("carol");
        await stranger.getByLabel("Password", { exact: true }).fill(adminPassword);
        await stranger.getByLabel("Password, once more").fill(adminPassword);
        await stranger.getByRole("button", { name: "Create account" }).click();
        await stranger.getByRole("link", { name: "Profile" }).waitFor();
        assert.equal(await stranger.getByRole("link", { name: "Calls" }).count(), 0);
        const answer = await stranger.goto(address);
        assert.equal(answer.status(), 403);
        await stranger.getByText("Only administrators of this server").waitFor();
        assert.ok(!(await stranger.content()).includes(room));
        await look(stranger, "refused");
    },

    async "an administrator sees the call"() {
        await desk.goto(address);
        await signIn(desk, admin, adminPassword);
        await desk.getByRole("heading", { name: "Calls", level: 1 }).waitFor();
        await desk.getByRole("heading", { name: room }).waitFor();
        await desk.getByText("1 call runs, with 2 participants").waitFor();
        await desk.getByText("Sends: Camera, VP8, to 1").waitFor();
        await desk.getByText("Sends: Microphone, Opus, to 1").waitFor();
        await desk.getByText(/Gets: Camera of @alice:/).waitFor();
        await desk.locator("dt:has-text('Gets: Microphone') + dd", { hasText: /bit\/s/ }).waitFor();
        await desk.locator("dt:has-text('Gets: Camera') + dd", { hasText: /bit\/s/ }).waitFor();
        await rate(desk);
        await look(desk, "one");
    },

    async "it is shown anew by itself"() {
        const before = await desk.locator("#calls > p").first().textContent();
        await desk.waitForFunction((text) => document.querySelector("#calls > p").textContent !== text, before);
        await desk.getByText("Sends: Camera, VP8, to 1").waitFor();
        await desk.getByRole("button", { name: "Stop refreshing" }).click();
        await desk.getByRole("button", { name: "Go on" }).click();
        await desk.getByRole("button", { name: "Stop refreshing" }).waitFor();
    },

    async "whose session ends is told so"() {
        await desk.route(address, (route) => route.fulfill({ status: 502, contentType: "text/html", body: "<title>Bad Gateway</title>" }));
        await desk.getByText("The server does not answer").waitFor();
        await desk.getByRole("heading", { name: room }).waitFor();
        await look(desk, "away");
        await desk.unroute(address);
        await desk.getByText("The server does not answer").waitFor({ state: "hidden" });
    },

    async "on a telephone, in the dark"() {
        await phone.goto(address);
        await signIn(phone, admin, adminPassword);
        await phone.getByRole("heading", { name: room }).waitFor();
        await rate(phone);
        await look(phone, "phone");
    },

    async "without scripts"() {
        await plain.goto(address);
        await signIn(plain, admin, adminPassword);
        await plain.getByRole("heading", { name: room }).waitFor();
        assert.equal(await plain.getByRole("button", { name: "Stop refreshing" }).count(), 0);
        await plain.getByRole("link", { name: "Refresh" }).click();
        await plain.getByText("Sends: Camera, VP8, to 1").waitFor();
    },
});
await close();
process.exit(0);
