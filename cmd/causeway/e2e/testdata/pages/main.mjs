// Drives the server's own pages in Chromium, as people do it, and signs in by them with the SDK's OAuth client. Arguments: the address of
// the homeserver, and a folder for screenshots. Each line of standard output is what became of a step: {"name", "error"}.
import { Console } from "node:console";
import { createServer } from "node:http";
import { strict as assert } from "node:assert";

globalThis.console = new Console(process.stderr);
const { chromium } = await import("./chromium.mjs");
const { createClient, OAuth2 } = await import("matrix-js-sdk");

const [baseUrl, folder] = process.argv.slice(2);
const password = "correct horse battery staple";

// callback is the application's own address: it hands over what the browser brings.
const arrivals = [];
let arrived = () => {};
const callback = createServer((request, response) => {
    const url = new URL(request.url, "http://127.0.0.1");
    if (url.pathname === "/back") {
        arrivals.push(url.searchParams);
        arrived();
    }
    response.end("<!doctype html><title>Back</title><p>You are back in the application.");
});
await new Promise((resolve) => callback.listen(0, "127.0.0.1", resolve));
const redirect = `http://127.0.0.1:${callback.address().port}/back`;

// nextArrival waits until the browser comes back to the application.
async function nextArrival() {
    while (arrivals.length === 0) {
        await new Promise((resolve) => (arrived = resolve));
    }
    return arrivals.shift();
}

const { open, look, run, close } = await chromium(folder, "main");

// application is an OAuth client of the SDK, of a device of its own.
const guest = createClient({ baseUrl });
let metadata, clientId;
async function application(deviceId) {
    metadata ??= await guest.getAuthMetadata();
    clientId ??= await OAuth2.registerClient(metadata, {
        client_name: "Mailbox", client_uri: "https://mailbox.example/", application_type: "native", redirect_uris: ["http://127.0.0.1/back"],
        tos_uri: "https://mailbox.example/terms", policy_uri: "https://mailbox.example/privacy",
    });
    return new OAuth2(metadata, { clientId, deviceId });
}

async function whoami(token) {
    const answer = await fetch(`${baseUrl}/_matrix/client/v3/account/whoami`, { headers: { Authorization: `Bearer ${token}` } });
    return { status: answer.status, ...(await answer.json()) };
}

// finish gives the code that the browser has brought for tokens.
async function finish(app, state) {
    const answer = await nextArrival();
    assert.equal(answer.get("error"), null);
    assert.equal(answer.get("state"), state);
    assert.equal(answer.get("iss"), metadata.issuer);
    return app.completeAuthorizationCodeGrant(answer.get("code"), redirect);
}

const story = { laptop: undefined, phone: undefined };
const home = await open({ javaScriptEnabled: false });
const phone = await open({ viewport: { width: 390, height: 844 }, deviceScaleFactor: 2, colorScheme: "dark" });

const steps = {
    async "a new account, and the first device"() {
        const app = await application("LAPTOP");
        await home.goto(await app.generateAuthorizationCodeGrantUrl("one", redirect, "query", "create"));
        await look(home, "sign-up");
        await home.getByLabel("User name").fill("Alice?");
        await home.getByLabel("Password", { exact: true }).fill(password);
        await home.getByLabel("Password, once more").fill(password);
        await home.getByRole("button", { name: "Create account" }).click();
        await home.getByRole("alert").waitFor();
        await look(home, "sign-up-refused");
        await home.getByLabel("User name").fill("alice");
        await home.getByLabel("Password", { exact: true }).fill(password);
        await home.getByLabel("Password, once more").fill(password);
        await home.getByRole("button", { name: "Create account" }).click();
        await home.getByRole("heading", { name: "Allow Mailbox" }).waitFor();
        await look(home, "consent");
        await home.getByRole("button", { name: "Allow", exact: true }).click();
        await home.getByText("You are back in the application").waitFor();
        story.laptop = await finish(app, "one");
        const who = await whoami(story.laptop.access_token);
        assert.equal(who.user_id, "@alice:causeway.test");
        assert.equal(who.device_id, "LAPTOP");
        const refreshed = await app.performRefreshTokenGrant(story.laptop.refresh_token);
        assert.equal((await whoami(refreshed.access_token)).device_id, "LAPTOP");
        story.laptop = refreshed;
    },

    async "a second device, on a telephone, by keyboard alone"() {
        const app = await application("PHONE");
        await phone.goto(await app.generateAuthorizationCodeGrantUrl("two", redirect, "query"));
        await look(phone, "sign-in-phone");
        await phone.keyboard.type("alice");
        await phone.keyboard.press("Tab");
        await phone.keyboard.type("wrong");
        await phone.keyboard.press("Enter");
        await phone.getByRole("alert").waitFor();
        await look(phone, "sign-in-refused-phone");
        await phone.keyboard.type(password); // the name is there still, so that the password has the focus
        await phone.keyboard.press("Tab");
        assert.equal(await phone.evaluate(() => document.activeElement.textContent), "Sign in");
        await phone.keyboard.press("Enter");
        await phone.getByRole("heading", { name: "Allow Mailbox" }).waitFor();
        await look(phone, "consent-phone");
        await phone.getByRole("button", { name: "Allow", exact: true }).press("Enter");
        await phone.getByText("You are back in the application").waitFor();
        story.phone = await finish(app, "two");
        assert.equal((await whoami(story.phone.access_token)).device_id, "PHONE");
    },

    async "the user says no"() {
        const app = await application("NOBODYS");
        await home.goto(await app.generateAuthorizationCodeGrantUrl("three", redirect, "query"));
        await home.getByRole("button", { name: "Do not allow" }).click();
        await home.getByText("You are back in the application").waitFor();
        const answer = await nextArrival();
        assert.equal(answer.get("error"), "access_denied");
        assert.equal(answer.get("state"), "three");
    },

    async "the account page"() {
        await home.goto(`${metadata.account_management_uri}?action=org.matrix.profile`);
        await home.getByLabel("Name that others see").fill("Alice Liddell");
        await home.getByRole("button", { name: "Save" }).click();
        await home.getByRole("status").waitFor();
        await look(home, "profile");
        const profile = await (await fetch(`${baseUrl}/_matrix/client/v3/profile/@alice:causeway.test`, { headers: { Authorization: `Bearer ${story.laptop.access_token}` } })).json();
        assert.equal(profile.displayname, "Alice Liddell");
        await home.getByRole("link", { name: "Devices" }).click();
        await home.getByText("LAPTOP").waitFor();
        await look(home, "devices");
        await phone.goto(`${metadata.account_management_uri}?action=org.matrix.devices_list`);
        await look(phone, "devices-phone");
    },

    async "a device is signed out"() {
        await home.goto(`${metadata.account_management_uri}?action=org.matrix.device_delete&device_id=PHONE`);
        await look(home, "device");
        assert.equal((await whoami(story.phone.access_token)).status, 200);
        await home.getByRole("button", { name: "Sign this device out" }).click();
        await home.getByText("The device is signed out").waitFor();
        await look(home, "devices-after");
        assert.equal(await home.getByText("PHONE").count(), 0);
        assert.equal((await whoami(story.phone.access_token)).status, 401);
        assert.equal((await whoami(story.laptop.access_token)).status, 200);
    },

    async "a device without a browser"() {
        const app = await application("TELEVISION");
        const session = await app.startDeviceAuthorizationGrant();
        await home.goto(session.verification_uri);
        await home.getByLabel("Code that your device shows").fill("BCDF-BCDF");
        await home.getByRole("button", { name: "Go on" }).click();
        await home.getByRole("alert").waitFor();
        await look(home, "user-code-refused");
        await home.goto(session.verification_uri_complete);
        await look(home, "user-code");
        await home.getByRole("button", { name: "Go on" }).click();
        await look(home, "device-consent");
        await home.getByRole("button", { name: "Allow", exact: true }).click();
        await home.getByText("Go on on your device").waitFor();
        await look(home, "device-done");
        const tokens = await app.waitForDeviceAuthorizationGrant(session);
        assert.equal((await whoami(tokens.access_token)).device_id, "TELEVISION");
        await app.revokeToken(tokens.access_token, "access_token");
        assert.equal((await whoami(tokens.access_token)).status, 401);
    },

    async "the other pages"() {
        for (const [action, name] of [["org.matrix.cross_signing_reset&device_id=LAPTOP", "reset"], ["org.matrix.cross_signing_reset", "reset-choose"], ["org.matrix.account_deactivate", "deactivate"]]) {
            await home.goto(`${metadata.account_management_uri}?action=${action}`);
            await look(home, name);
        }
        await home.goto(`${metadata.account_management_uri}password`);
        await look(home, "password");
        await home.goto(`${metadata.authorization_endpoint}?client_id=nobody`);
        await look(home, "error");
        await phone.goto(`${metadata.account_management_uri}?action=org.matrix.cross_signing_reset&device_id=LAPTOP`);
        await look(phone, "reset-phone");
        await home.getByRole("link", { name: "Your account" }).click();
        await home.getByRole("button", { name: "Sign out" }).click();
        await home.getByText("You are signed out in this browser").waitFor();
        await look(home, "signed-out");
    },
};

await run(steps);
await close();
callback.close();
process.exit(0);
