// Drives the pages that work with mail in Chromium, and those of a server that takes no new accounts. Arguments: the address of a homeserver
// that demands an address, a captcha and terms of its users; a folder for screenshots; where mail can be read; and the address of a
// homeserver that takes registration tokens, of which "welcome" is one from the second step on. Output as of chromium.mjs.
import { Console } from "node:console";
import { createServer } from "node:http";
import { strict as assert } from "node:assert";

globalThis.console = new Console(process.stderr);
const { chromium } = await import("./chromium.mjs");
const { createClient, OAuth2 } = await import("matrix-js-sdk");

const [baseUrl, folder, box, closedUrl] = process.argv.slice(2);
const { open, look, run, close } = await chromium(folder, "mail");
const password = "correct horse battery staple", another = "another horse battery staple", third = "third horse battery staple";
const account = `${baseUrl}/_causeway/account/`;

const arrivals = [];
const callback = createServer((request, response) => {
    const url = new URL(request.url, "http://127.0.0.1");
    if (url.pathname === "/back") arrivals.push(url.searchParams);
    response.end("<!doctype html><title>Back</title><p>You are back in the application.");
});
await new Promise((resolve) => callback.listen(0, "127.0.0.1", resolve));
const redirect = `http://127.0.0.1:${callback.address().port}/back`;

const guest = createClient({ baseUrl });
const metadata = await guest.getAuthMetadata();
const clientId = await OAuth2.registerClient(metadata, {
    client_name: "Mailbox", client_uri: "https://mailbox.example/", application_type: "native", redirect_uris: ["http://127.0.0.1/back"],
});

// begin sends a browser off to sign in to the application on a device.
async function begin(page, deviceId, prompt) {
    const app = new OAuth2(metadata, { clientId, deviceId });
    await page.goto(await app.generateAuthorizationCodeGrantUrl(deviceId, redirect, "query", prompt));
    return app;
}

// finish allows it, and returns the tokens.
async function finish(page, app) {
    await page.getByRole("heading", { name: "Allow Mailbox" }).waitFor();
    await page.getByRole("button", { name: "Allow", exact: true }).click();
    await page.getByText("You are back in the application").waitFor();
    return app.completeAuthorizationCodeGrant(arrivals.pop().get("code"), redirect);
}

async function whoami(token) {
    const answer = await fetch(`${baseUrl}/_matrix/client/v3/account/whoami`, { headers: { Authorization: `Bearer ${token}` } });
    return { status: answer.status, ...(await answer.json()) };
}

// letter waits for the next mail to an address, and returns it with its link, "" for none.
async function letter(to) {
    const answer = await fetch(`${box}/mail?to=${encodeURIComponent(to)}`);
    assert.equal(answer.status, 200, `a mail to ${to}`);
    const found = await answer.json();
    return { ...found, link: found.text.match(/http:\/\/\S+/)?.[0] ?? "" };
}

const press = (page, name) => page.getByRole("button", { name, exact: true }).click();
const problem = (page, text) => page.getByRole("alert").filter({ hasText: text }).waitFor();

// The computer runs scripts for the captcha. Everything else works without.
const home = await open();
const plain = await open({ javaScriptEnabled: false });
const phone = await open({ viewport: { width: 360, height: 740 }, deviceScaleFactor: 2, colorScheme: "dark", javaScriptEnabled: false,
    userAgent: "Mozilla/5.0 (Linux; Android 15) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/143.0 Mobile Safari/537.36" });
const story = {};

const steps = {
    async "an account with an address, terms and a captcha"() {
        const app = await begin(home, "LAPTOP", "create");
        await look(home, "sign-up-address");
        await home.getByLabel("Email address").fill("alice@example.org@");
        await home.locator("form[action$=mail]").evaluate((f) => (f.noValidate = true));
        await press(home, "Send the link");
        await problem(home, "This is not an email address");
        await look(home, "sign-up-address-refused");
        assert.equal(await home.evaluate(() => document.activeElement.id), "email");
        await home.getByLabel("Email address").fill("alice@example.org");
        await press(home, "Send the link");
        await look(home, "sign-up-wait");
        await press(home, "I have followed the link");
        await problem(home, "has not been followed yet");
        await look(home, "sign-up-too-early");

        const mail = await letter("alice@example.org");
        await phone.goto(mail.link);
        await look(phone, "confirm");
        await press(phone, "Yes, confirm it");
        await phone.getByText("Go on in the browser in which you began").waitFor();
        await look(phone, "confirmed-elsewhere");
        await phone.goto(mail.link);
        await look(phone, "confirmed-again");
        await phone.goto(mail.link.replace(/token=\w+/, "token=wrong"));
        await look(phone, "confirm-wrong-token");

        await press(home, "I have followed the link");
        await home.getByText("alice@example.org, confirmed").waitFor();
        await look(home, "sign-up");
        const fill = async (name, second = password) => {
            await home.getByLabel("User name").fill(name);
            await home.getByLabel("Password", { exact: true }).fill(password);
            await home.getByLabel("Password, once more").fill(second);
            await home.getByLabel("I agree to").check();
            await press(home, "I am no robot");
            await press(home, "Create account");
        };
        await fill("Alice?");
        await problem(home, "consist of");
        await look(home, "sign-up-bad-name");
        assert.equal(await home.evaluate(() => document.activeElement.id), "username");
        await fill("alice", "something else");
        await problem(home, "are not the same");
        await look(home, "sign-up-two-passwords");
        await home.getByLabel("User name").fill("alice");
        await home.getByLabel("Password", { exact: true }).fill(password);
        await home.getByLabel("Password, once more").fill(password);
        await press(home, "Create account");
        await problem(home, "no robot");
        await look(home, "sign-up-no-captcha");
        await fill("alice");
        story.laptop = await finish(home, app);
        assert.equal((await whoami(story.laptop.access_token)).user_id, "@alice:causeway.test");
    },

    async "the address is somebody's, which only the owner hears"() {
        await plain.goto(`${account}register`);
        await plain.getByLabel("Email address").fill("alice@example.org");
        await press(plain, "Send the link");
        await plain.getByText("A mail is on its way to alice@example.org").waitFor();
        const mail = await letter("alice@example.org");
        assert.equal(mail.link, "");
        assert.match(mail.text, /@alice:causeway.test/);
    },

    async "signing in by address, with the keyboard alone"() {
        const app = await begin(phone, "PHONE");
        await look(phone, "sign-in");
        await phone.keyboard.type("Alice@Example.org");
        await phone.keyboard.press("Tab");
        await phone.keyboard.type("wrong");
        await phone.keyboard.press("Enter");
        await problem(phone, "Invalid username or password");
        await look(phone, "sign-in-refused");
        await phone.keyboard.type(password);
        const order = [];
        for (let i = 0; i < 3; i++) {
            await phone.keyboard.press("Tab");
            order.push(await phone.evaluate(() => document.activeElement.textContent));
        }
        assert.deepEqual(order, ["Sign in", "Forgot your password?", "Create one"]);
        await phone.keyboard.press("Shift+Tab");
        await phone.keyboard.press("Shift+Tab");
        await phone.keyboard.press("Enter");
        story.phone = await finish(phone, app);
        assert.equal((await whoami(story.phone.access_token)).device_id, "PHONE");
    },

    async "a forgotten password, with a request under way"() {
        const app = await begin(plain, "TABLET");
        await plain.getByRole("link", { name: "Forgot your password?" }).click();
        await look(plain, "forgot");
        await plain.getByLabel("Email address").fill("nobody@example.org");
        await press(plain, "Send the link");
        const unknown = await plain.locator("main").innerText();
        await plain.getByRole("link", { name: "send it again" }).click();
        await plain.getByLabel("Email address").fill("alice@example.org");
        await press(plain, "Send the link");
        assert.equal(await plain.locator("main").innerText(), unknown, "what is said to who knows an address");
        await look(plain, "forgot-sent");
        assert.equal((await letter("nobody@example.org")).link, "");
        const mail = await letter("alice@example.org");
        await plain.goto(mail.link);
        await look(plain, "new-password");
        await plain.getByLabel("New password", { exact: true }).fill(another);
        await plain.getByLabel("New password, once more").fill("something else");
        await press(plain, "Set the password");
        await problem(plain, "are not the same");
        await look(plain, "new-password-refused");
        await plain.getByLabel("New password", { exact: true }).fill(another);
        await plain.getByLabel("New password, once more").fill(another);
        await press(plain, "Set the password");
        await plain.getByText("Your password is changed").waitFor();
        await look(plain, "new-password-done");
        for (const tokens of [story.laptop, story.phone]) assert.equal((await whoami(tokens.access_token)).status, 401);
        await plain.getByLabel("User name or email address").fill("alice");
        await plain.getByLabel("Password").fill(another);
        await press(plain, "Sign in");
        story.tablet = await finish(plain, app);
        assert.equal((await whoami(story.tablet.access_token)).device_id, "TABLET");

        await phone.goto(mail.link);
        await look(phone, "link-that-has-served");
        await phone.goto(account);
        await phone.getByRole("heading", { name: "Sign in" }).waitFor(); // that session has ended, too
    },

    async "a link in another browser"() {
        await begin(home, "DESK");
        await home.getByRole("link", { name: "Forgot your password?" }).click();
        await home.getByLabel("Email address").fill("alice@example.org");
        await press(home, "Send the link");
        const mail = await letter("alice@example.org");
        await phone.goto(mail.link);
        await look(phone, "new-password");
        await phone.getByLabel("New password", { exact: true }).fill(third);
        await phone.getByLabel("New password, once more").fill(third);
        await phone.getByLabel("Sign all my devices out").uncheck();
        await press(phone, "Set the password");
        assert.equal((await whoami(story.tablet.access_token)).status, 200);
        await phone.getByLabel("User name or email address").fill("@alice:causeway.test");
        await phone.getByLabel("Password").fill(third);
        await press(phone, "Sign in");
        await phone.getByRole("heading", { name: "Profile" }).waitFor(); // the request of the other browser is not this one's
        await look(phone, "profile");
    },

    async "addresses of the account"() {
        await phone.getByRole("link", { name: "Email" }).click();
        await look(phone, "emails");
        await phone.getByLabel("Another address").fill("alice@example.net");
        await press(phone, "Add");
        await look(phone, "emails-wait");
        const mail = await letter("alice@example.net");
        await home.goto(mail.link);
        await look(home, "confirm-for-an-account");
        await press(home, "Yes, confirm it");
        await home.getByText("Go on in the browser in which you began").waitFor();
        await press(phone, "I have followed the link");
        await look(phone, "emails-confirmed");
        await press(phone, "Add it to my account");
        await phone.getByText("The address is yours now").waitFor();
        await look(phone, "emails-added");
        await phone.getByRole("link", { name: "Remove alice@example.net" }).click();
        await look(phone, "email-remove");
        await press(phone, "Remove the address");
        await phone.getByText("The address is removed").waitFor();
        assert.equal(await phone.getByText("alice@example.net").count(), 0);
    },

    async "browsers of the account"() {
        for (const page of [home, plain]) {
            await page.goto(account);
            await page.getByLabel("User name or email address").fill("alice");
            await page.getByLabel("Password").fill(third);
            await press(page, "Sign in");
            await page.getByRole("heading", { name: "Profile" }).waitFor();
        }
        await home.getByRole("link", { name: "Browsers" }).click();
        await home.getByText("Chrome on Android").first().waitFor();
        await look(home, "browsers");
        await phone.goto(`${account}browsers`);
        await look(phone, "browsers");
        await home.getByRole("button", { name: "Sign out Chrome on Android" }).click();
        await home.getByText("The browser is signed out").waitFor();
        await phone.goto(account);
        await phone.getByRole("heading", { name: "Sign in" }).waitFor();
        await press(home, "Sign out all other browsers");
        await home.getByText("All other browsers are signed out").waitFor();
        await look(home, "browsers-alone");
        await plain.goto(account);
        await plain.getByRole("heading", { name: "Sign in" }).waitFor();
        assert.equal((await whoami(story.tablet.access_token)).status, 200);
    },

    async "a server that takes no new accounts"() {
        await plain.goto(`${closedUrl}/_causeway/account/register`);
        await plain.getByText("takes no new accounts at present").waitFor();
        await look(plain, "closed");
        await plain.goto(`${closedUrl}/_causeway/account/forgot`);
        await look(plain, "forgot-without-mail");
    },
};

await run(steps);
await close();
callback.close();
process.exit(0);
