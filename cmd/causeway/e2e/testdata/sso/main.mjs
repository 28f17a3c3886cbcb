// Has people sign in by a provider of OpenID Connect in Chromium, with the SDK as the client. Arguments: the address of the homeserver, a folder
// for screenshots, and the issuer, which is run here. Each line of standard output is what became of a step: {"name", "error"}.
import { Console } from "node:console";
import { createServer } from "node:http";
import { strict as assert } from "node:assert";

globalThis.console = new Console(process.stderr);
const { chromium } = await import("../pages/chromium.mjs");
const { createClient, OAuth2 } = await import("matrix-js-sdk");
const { Provider } = await import("oidc-provider");

const [baseUrl, folder, issuer] = process.argv.slice(2);
const password = "correct horse battery staple";

// The provider signs in whoever gives a name, on pages of its own.
const provider = new Provider(issuer, {
    clients: [{
        client_id: "causeway", client_secret: "a secret of 32 bytes, for the test", redirect_uris: [`${baseUrl}/_causeway/account/sso/callback/works`],
        grant_types: ["authorization_code"], response_types: ["code"], token_endpoint_auth_method: "client_secret_basic",
    }],
    claims: { openid: ["sub"], profile: ["preferred_username", "name"], email: ["email", "email_verified"] },
    features: { devInteractions: { enabled: true } },
    pkce: { required: () => true },
    findAccount: (_, sub) => ({
        accountId: sub,
        claims: () => ({ sub, preferred_username: sub, name: sub[0].toUpperCase() + sub.slice(1), email: `${sub}@example.org`, email_verified: true }),
    }),
});
const providerServer = createServer(provider.callback());
await new Promise((resolve) => providerServer.listen(Number(new URL(issuer).port), "127.0.0.1", resolve));

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
await new Promise((resolve) => callback.listen(0, resolve)); // by IPv6, too, where there is any
const redirect = `http://127.0.0.1:${callback.address().port}/back?hs=test`;

async function nextArrival() {
    while (arrivals.length === 0) {
        await new Promise((resolve) => (arrived = resolve));
    }
    return arrivals.shift();
}

const { open, look, run, close } = await chromium(folder, "sso", { site: baseUrl });

// atProvider signs somebody in on the provider's own pages, and allows what it asks for.
async function atProvider(page, name) {
    await page.waitForURL((url) => url.origin === issuer);
    await page.locator("[name=login]").fill(name);
    await page.locator("[name=password]").fill("anything");
    await page.locator("button[type=submit]").click();
    await page.waitForLoadState();
    if (page.url().startsWith(issuer)) {
        await page.locator("button[type=submit]").click(); // the consent
    }
    await page.waitForURL((url) => url.origin === baseUrl);
}

// enter logs the SDK in with what the browser has brought.
async function enter() {
    const answer = await nextArrival();
    assert.equal(answer.get("hs"), "test");
    const client = createClient({ baseUrl });
    const login = await client.login("m.login.token", { token: answer.get("loginToken") });
    return createClient({ baseUrl, accessToken: login.access_token, userId: login.user_id, deviceId: login.device_id });
}

const guest = createClient({ baseUrl });
const home = await open();
const phone = await open({ viewport: { width: 390, height: 844 }, deviceScaleFactor: 2, colorScheme: "dark" });
const story = {};

const steps = {
    async "what clients are told"() {
        const sso = (await guest.loginFlows()).flows.find((f) => f.type === "m.login.sso");
        assert.deepEqual(sso.identity_providers, [{ id: "works", name: "Example ID", brand: "example" }, { id: "down", name: "Broken ID" }]);
    },

    async "a provider that is down"() {
        await home.goto(guest.getSsoLoginUrl(redirect, "sso"));
        await home.getByText("Choose how to go on").waitFor();
        await look(home, "choice");
        await home.getByRole("link", { name: "Continue with Broken ID" }).click();
        await home.getByText("Broken ID cannot be reached").waitFor();
        await look(home, "down");
    },

    async "a new user of a client without OAuth"() {
        await home.goto(guest.getSsoLoginUrl(redirect, "sso"));
        await home.getByRole("link", { name: "Continue with Example ID" }).click();
        await atProvider(home, "alice");
        await home.getByRole("heading", { name: "Create an account?" }).waitFor();
        await look(home, "newcomer");
        await home.getByRole("button", { name: "Create account" }).click();
        await home.getByRole("heading", { name: "Sign in to an application on this device" }).waitFor();
        await look(home, "client");
        await home.getByRole("button", { name: "Sign in" }).click();
        await home.getByText("You are back in the application").waitFor();
        story.alice = await enter();
        assert.equal(story.alice.getUserId(), "@alice:causeway.test");
        assert.equal((await story.alice.getProfileInfo("@alice:causeway.test")).displayname, "Alice");
        const { threepids } = await story.alice.getThreePids();
        assert.deepEqual(threepids.map((t) => t.address), ["alice@example.org"]);
    },

    async "and again, who is signed in at the provider"() {
        await home.goto(guest.getSsoLoginUrl(redirect, "sso", "works"));
        await home.getByRole("button", { name: "Sign in" }).click();
        await home.getByText("You are back in the application").waitFor();
        story.second = await enter();
        assert.equal(story.second.getUserId(), "@alice:causeway.test");
    },

    async "a link from elsewhere signs nobody in"() {
        await home.goto(`${baseUrl}/_causeway/account/sso/start?provider=works`);
        await home.getByRole("heading", { name: "Sign in here?" }).waitFor();
        await look(home, "enter");
        await home.getByRole("button", { name: "Continue as @alice:causeway.test" }).click();
        await home.getByRole("heading", { name: "Profile" }).waitFor();
    },

    async "who declines has another way"() {
        const page = await open();
        await page.goto(guest.getSsoLoginUrl(redirect, "sso", "works"));
        await page.waitForURL((url) => url.origin === issuer);
        await page.getByRole("link", { name: "Cancel" }).click();
        await page.getByText("You did not sign in with Example ID").waitFor();
        await look(page, "declined");
        await page.getByRole("link", { name: "choose another way" }).click();
        await page.getByText("Continue with a password").waitFor();
    },

    async "clients to which the way is open, and by IPv6"() {
        await home.goto(guest.getSsoLoginUrl("http://app.example.com/", "sso", "works"));
        await home.getByText("is not encrypted").waitFor();
        await look(home, "open-way");
        const host = callback.address().family === "IPv6" ? "[::1]" : "127.0.0.1";
        await home.goto(guest.getSsoLoginUrl(redirect.replace("127.0.0.1", host), "sso", "works"));
        await home.getByRole("button", { name: "Sign in" }).click();
        await home.getByText("You are back in the application").waitFor();
        await nextArrival();
    },

    async "confirming that it is she"() {
        let challenge;
        await story.alice.deleteDevice(story.second.getDeviceId()).catch((error) => (challenge = error.data));
        assert.deepEqual(challenge.flows, [{ stages: ["m.login.sso"] }]);
        const page = await open();
        await page.exposeFunction("onAuthDone", () => (story.done = true));
        await page.goto(story.alice.getFallbackAuthUrl("m.login.sso", challenge.session));
        await look(page, "stage");
        await page.getByRole("link", { name: "Continue with Example ID" }).click();
        await atProvider(page, "alice");
        await page.getByRole("heading", { name: "Confirm that it is you" }).waitFor();
        await look(page, "stage-confirm");
        await page.getByRole("button", { name: "Confirm" }).click();
        await page.getByRole("heading", { name: "Done" }).waitFor();
        await look(page, "stage-done");
        assert.ok(story.done, "the client is told");
        await story.alice.deleteDevice(story.second.getDeviceId(), { session: challenge.session });
        assert.equal((await story.alice.getDevices()).devices.length, 1);
    },

    async "by the built-in OAuth, on a telephone, with a name that is taken"() {
        const register = await fetch(`${baseUrl}/_matrix/client/v3/register`, {
            method: "POST", body: JSON.stringify({ username: "bob", password, auth: { type: "m.login.dummy" } }),
        });
        assert.equal(register.status, 200);
        const metadata = await guest.getAuthMetadata();
        const clientId = await OAuth2.registerClient(metadata, {
            client_name: "Mailbox", client_uri: "https://mailbox.example/", application_type: "native", redirect_uris: ["http://127.0.0.1/back"],
        });
        const app = new OAuth2(metadata, { clientId, deviceId: "PHONE" });
        const back = redirect.replace("?hs=test", "");
        await phone.goto(await app.generateAuthorizationCodeGrantUrl("one", back, "query"));
        await look(phone, "sign-in");
        await phone.getByRole("link", { name: "Continue with Example ID" }).click();
        await atProvider(phone, "bob");
        await phone.getByRole("heading", { name: "Choose your name" }).waitFor();
        await phone.getByRole("button", { name: "Create account" }).click();
        await phone.getByRole("alert").waitFor();
        await look(phone, "name");
        await phone.getByLabel("User name").fill("bobby");
        await phone.getByRole("button", { name: "Create account" }).click();
        await phone.getByRole("heading", { name: "Allow Mailbox" }).waitFor();
        await look(phone, "consent");
        await phone.getByRole("button", { name: "Allow", exact: true }).click();
        await phone.getByText("You are back in the application").waitFor();
        const tokens = await app.completeAuthorizationCodeGrant((await nextArrival()).get("code"), back);
        const who = await createClient({ baseUrl, accessToken: tokens.access_token }).whoami();
        assert.equal(who.user_id, "@bobby:causeway.test");
    },

    async "the pages of who has no password"() {
        await phone.goto(`${baseUrl}/_causeway/account/linked`);
        await look(phone, "linked-phone");
        for (const name of ["password", "deactivate", "reset"]) {
            await phone.goto(`${baseUrl}/_causeway/account/${name}`);
            await look(phone, `no-password-${name}`);
        }
        // The provider has let him pass: it has to ask him who he is.
        await phone.goto(`${baseUrl}/_causeway/account/linked`);
        await phone.getByRole("link", { name: "Continue with Example ID" }).first().click();
        await atProvider(phone, "bob");
        await phone.getByRole("button", { name: "Unlink" }).click();
        await phone.getByText("your only way to sign in").waitFor();
    },

    async "linking an account that has a password"() {
        const page = await open();
        await page.goto(`${baseUrl}/_causeway/account/linked`);
        await page.getByLabel("User name").fill("bob");
        await page.getByLabel("Password").fill(password);
        await page.getByRole("button", { name: "Sign in", exact: true }).click();
        await page.getByRole("heading", { name: "Linked accounts" }).waitFor();
        await page.getByRole("link", { name: "Continue with Example ID" }).click();
        await atProvider(page, "robert");
        await page.getByRole("heading", { name: "Link your account?" }).waitFor();
        await look(page, "link");
        await page.getByRole("button", { name: "Link", exact: true }).click();
        await page.getByText("The account is linked").waitFor();
        await look(page, "linked");
        // That is a way in now.
        await page.getByRole("button", { name: "Sign out" }).click();
        await page.goto(`${baseUrl}/_causeway/account/linked`);
        await page.getByRole("link", { name: "Continue with Example ID" }).click();
        await page.getByRole("heading", { name: "Linked accounts" }).waitFor();
        assert.ok(await page.getByText("@bob:causeway.test").isVisible());
    },

    async "the page for clients that know no way to sign in"() {
        const page = await open();
        let login;
        await page.exposeFunction("told", (answer) => (login = answer));
        await page.addInitScript(() => (window.matrixLogin = { onLogin: (answer) => window.told(answer) }));
        await page.goto(`${baseUrl}/_matrix/static/client/login/?device_id=FALLBACK`);
        await look(page, "fallback-login");
        await page.getByRole("link", { name: "Continue with Example ID" }).click();
        await atProvider(page, "alice");
        await page.getByRole("button", { name: "Sign in" }).click();
        await page.getByText("You are signed in. You can close this window.").waitFor();
        assert.equal(login.user_id, "@alice:causeway.test");
        assert.equal(login.device_id, "FALLBACK");
        assert.ok(!page.url().includes("loginToken"));
        // A token that somebody else has put into a link is let be.
        let asked = false;
        page.on("request", (request) => (asked ||= request.method() === "POST"));
        await page.goto(`${baseUrl}/_matrix/static/client/login/?loginToken=x`);
        await page.getByLabel("User name").waitFor();
        assert.ok(!asked && await page.locator("#problem").isHidden());
    },

    async "nobody comes by what another browser began"() {
        const page = await open();
        await page.goto(`${baseUrl}/_causeway/account/sso/callback/works?code=x&state=y`);
        await page.getByText("was not begun in this browser").waitFor();
        await look(page, "stale");
    },
};

await run(steps);
await close();
callback.close();
providerServer.close();
process.exit(0);
