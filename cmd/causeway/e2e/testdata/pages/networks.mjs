// Drives the pages about other networks in Chromium: who signs in to them, and starts chats. Arguments: the address of the homeserver, which
// bridges to IRC, a folder for screenshots, and the address of the IRC server. Each line of standard output is what became of a step: {"name", "error"}.
import { Console } from "node:console";
import { strict as assert } from "node:assert";

globalThis.console = new Console(process.stderr);
const { chromium } = await import("./chromium.mjs");
const { person } = await import("./irc.mjs");

const [baseUrl, folder, ircAddress] = process.argv.slice(2);
const password = "correct horse battery staple";
const { open, look, run, close } = await chromium(folder, "networks");
const home = await open({ javaScriptEnabled: false });
const phone = await open({ viewport: { width: 360, height: 740 }, colorScheme: "dark" });

// signUp makes an account, from the page that it then leads to.
async function signUp(page, name) {
    await page.goto(`${baseUrl}/_causeway/bridges/`);
    await page.getByRole("link", { name: "Create one" }).click();
    await page.getByLabel("User name").fill(name);
    await page.getByLabel("Password", { exact: true }).fill(password);
    await page.getByLabel("Password, once more").fill(password);
    await page.getByRole("button", { name: "Create account" }).click();
    await page.getByRole("heading", { name: "Networks", level: 1 }).waitFor();
}

// begin begins to sign in to the telegraph.
async function begin(page, way) {
    await page.goto(`${baseUrl}/_causeway/bridges/telegraph/signin`);
    await page.getByRole("button", { name: way, exact: true }).click();
    await page.getByRole("button", { name: "Cancel" }).waitFor();
}

async function fillKey(page, name, key) {
    await page.getByLabel("Name").fill(name);
    await page.getByLabel("Key").fill(key);
    await page.getByRole("button", { name: "Go on" }).click();
}

// matrix makes the requests of a client of the user.
async function matrix(user) {
    const request = async (method, path, body) => {
        const answer = await fetch(`${baseUrl}/_matrix/client/v3/${path}`, {
            method, headers: token ? { Authorization: `Bearer ${token}` } : {}, body: body && JSON.stringify(body) });
        const content = await answer.json();
        assert.equal(answer.status, 200, `${method} ${path}: ${JSON.stringify(content)}`);
        return content;
    };
    let token;
    token = (await request("POST", "login", { type: "m.login.password", identifier: { type: "m.id.user", user }, password })).access_token;
    return request;
}

const steps = {
    async "the networks that there are"() {
        await signUp(home, "alice");
        await home.getByRole("heading", { name: "IRC" }).waitFor();
        await home.getByText("You are not signed in.").first().waitFor();
        await look(home, "none");
        await home.goto(`${baseUrl}/_causeway/account/`);
        await home.getByRole("link", { name: "Networks" }).click();
    },

    async "a nick that cannot be"() {
        await home.getByRole("link", { name: "Sign in to IRC" }).click();
        await look(home, "flows");
        await home.getByRole("button", { name: "Nick" }).click();
        await home.getByLabel("Nick").waitFor();
        await look(home, "nick");
        await home.getByLabel("Nick").fill("4lice");
        await home.getByRole("button", { name: "Go on" }).click();
        await home.getByRole("alert").waitFor();
        assert.equal(await home.getByLabel("Nick").inputValue(), "4lice");
        assert.equal(await home.getByLabel("Nick").getAttribute("aria-invalid"), "true");
        await look(home, "nick-refused");
    },

    async "a nick"() {
        await home.getByLabel("Nick").fill("wonderland");
        await home.getByRole("button", { name: "Go on" }).click();
        await home.getByRole("heading", { name: "Signed in to IRC" }).waitFor();
        await look(home, "done");
        await home.getByRole("link", { name: "Your networks" }).click();
        await home.getByRole("link", { name: "Sign out" }).waitFor();
        await look(home, "one");
    },

    async "a chat on IRC"() {
        const carol = await person(ircAddress, "carol");
        await home.getByRole("link", { name: "Start a chat on IRC" }).click();
        await look(home, "irc-chat");
        await home.getByLabel("Whom do you want to talk to?").fill("4carol@home");
        await home.getByRole("button", { name: "Find" }).click();
        await home.getByRole("alert").getByText("no nick").waitFor();
        await look(home, "irc-nobody");
        await home.getByLabel("Whom do you want to talk to?").fill("carol");
        await home.getByRole("button", { name: "Find" }).click();
        await home.getByText("carol", { exact: true }).first().waitFor();
        await look(home, "irc-found");
        await home.getByRole("button", { name: "Start the chat" }).click();
        await home.getByRole("heading", { name: "Chat with carol" }).waitFor();
        await look(home, "irc-room");
        const room = encodeURIComponent(await home.locator("dd code").textContent());
        const alice = await matrix("alice");
        await alice("POST", `rooms/${room}/join`, {});
        await alice("PUT", `rooms/${room}/send/m.room.message/1`, { msgtype: "m.text", body: "hello from Matrix" });
        // The server takes nicks of nine letters.
        await carol.heard(/^:wonderlan!\S+ PRIVMSG carol :hello from Matrix$/);
        carol.say("wonderlan", "hello from IRC");
        let since = "", heard;
        for (const end = Date.now() + 20_000; !heard && Date.now() < end;) {
            const news = await alice("GET", `sync?timeout=5000&since=${since}`);
            since = news.next_batch;
            heard = news.rooms?.join?.[decodeURIComponent(room)]?.timeline.events.find((e) => e.content.body === "hello from IRC");
        }
        assert.match(heard?.sender ?? "nobody", /^@irc_\w+_carol:/);
        await home.goto(`${baseUrl}/_causeway/bridges/`);
        await home.getByText(/^wonderlan on /).waitFor();
        await home.getByText("Connected.", { exact: true }).waitFor();
        await look(home, "irc-connected");
        // The room would have them on IRC again.
        await alice("POST", `rooms/${room}/leave`, {});
        carol.quit();
    },

    async "an account, on a telephone, by keyboard alone"() {
        await signUp(phone, "bob");
        await phone.getByRole("link", { name: "Sign in to IRC" }).press("Enter");
        await phone.getByRole("button", { name: "Account" }).press("Enter");
        await phone.getByLabel("Nick").waitFor();
        await look(phone, "account-phone");
        await phone.getByRole("button", { name: "Cancel" }).press("Enter");
        await phone.getByText("You have not been signed in").waitFor();
        await look(phone, "cancelled-phone");
    },

    async "a room that one has, with a channel"() {
        const cora = await person(ircAddress, "cora");
        cora.send("JOIN #garden"); // and is its operator
        await cora.heard(/ 366 cora #garden /);
        await home.goto(`${baseUrl}/_causeway/bridges/`);
        await home.getByRole("link", { name: "Rooms on IRC" }).click();
        await home.getByText("You have connected no room").waitFor();
        await look(home, "rooms-none");
        const bot = await home.locator("main p code").first().textContent();
        const [alice, bob] = [await matrix("alice"), await matrix("bob")];
        const room = (await alice("POST", "createRoom", { name: "Gardeners", room_alias_name: "gardeners", preset: "public_chat" })).room_id;
        const ask = async (room, channel, nick) => {
            await home.getByLabel("Room").fill(room);
            await home.getByLabel("Channel", { exact: true }).fill(channel);
            await home.getByLabel("Nick of an operator").fill(nick);
            await home.getByRole("button", { name: "Ask" }).click();
        };
        await bob("POST", `rooms/${encodeURIComponent(room)}/join`, {});
        await ask("gardeners", "#garden", "cora");
        await home.getByRole("alert").getByText("A room is told by its ID").waitFor();
        await ask(room, "#garden", "cora");
        await home.getByRole("alert").getByText("has to be in the room: invite it").waitFor();
        assert.equal(await home.getByLabel("Channel", { exact: true }).inputValue(), "#garden");
        await look(home, "rooms-refused");
        await alice("POST", `rooms/${encodeURIComponent(room)}/invite`, { user_id: bot });
        let members = {};
        for (const end = Date.now() + 20_000; !members[bot] && Date.now() < end;) {
            members = (await alice("GET", `rooms/${encodeURIComponent(room)}/joined_members`)).joined;
        }
        await ask("#gardeners:causeway.test", "garden", "");
        await home.getByRole("alert").getByText("not the name of a channel").waitFor();
        await ask("#gardeners:causeway.test", "#garden", "");
        await home.getByText("It is being asked for on the network").waitFor();
        await home.getByText("Waiting for somebody on the network to allow it, until ").waitFor();
        await look(home, "rooms-waiting");
        const [, asker, code] = (await cora.heard(/ PRIVMSG cora :To allow it: /)).match(/\/msg (\S+) yes (\S+)/);
        cora.say(asker, `yes ${code}`);
        await cora.heard(/^:wonderlan!\S+ JOIN :?#garden$/);
        for (const end = Date.now() + 20_000; Date.now() < end;) {
            await home.goto(`${baseUrl}/_causeway/bridges/irc/rooms`);
            if (await home.getByText("Connected.", { exact: true }).count() > 0) break;
        }
        await home.getByText("Connected.", { exact: true }).waitFor();
        await look(home, "rooms-connected");
        // Bob is in the room, too, and may not decide there.
        await phone.goto(`${baseUrl}/_causeway/bridges/irc/rooms`);
        await phone.getByText("You have connected no room").waitFor();
        await phone.getByLabel("Room").fill(room);
        await phone.getByLabel("Channel", { exact: true }).fill("#other");
        await phone.getByRole("button", { name: "Ask" }).press("Enter");
        await phone.getByRole("alert").getByText("Only members of the room").waitFor();
        await look(phone, "rooms-refused-phone");
        await home.getByRole("link", { name: "Disconnect Gardeners and #garden" }).click();
        await look(home, "rooms-end");
        await home.getByRole("main").getByRole("button", { name: "Disconnect" }).click();
        await home.getByText("The room is not connected any more").waitFor();
        await cora.heard(/^:wonderlan!\S+ PART #garden/);
        for (const end = Date.now() + 20_000; Date.now() < end;) {
            await home.goto(`${baseUrl}/_causeway/bridges/irc/rooms`);
            if (await home.getByText("You have connected no room").count() > 0) break;
        }
        await home.getByText("You have connected no room").waitFor();
        cora.quit();
    },

    async "signing out"() {
        await home.goto(`${baseUrl}/_causeway/bridges/`);
        await home.getByRole("link", { name: "Sign out" }).click();
        await look(home, "sign-out");
        await home.getByRole("main").getByRole("button", { name: "Sign out" }).click();
        await home.getByText("You are signed out of the network").waitFor();
        assert.equal(await home.getByRole("link", { name: "Sign out" }).count(), 0);
        await look(home, "signed-out");
    },

    async "a key that does not fit, and a code"() {
        await begin(home, "Name and key");
        await fillKey(home, "ada", "x");
        await home.getByRole("alert").getByText("The key does not fit.").waitFor();
        assert.equal(await home.getByLabel("Name").inputValue(), "ada");
        await look(home, "key-refused");
        await fillKey(home, "ada", "morse");
        await home.getByLabel("Code").fill("12");
        await home.getByRole("button", { name: "Go on" }).click();
        await home.getByRole("alert").waitFor();
        await look(home, "code-refused");
        await home.getByRole("button", { name: "Back" }).click();
        await fillKey(home, "ada", "morse");
        await home.getByLabel("Code").fill("123456");
        await home.getByRole("button", { name: "Go on" }).click();
        await home.getByText("Welcome to the telegraph, ada").waitFor();
        await look(home, "welcome");
    },

    async "what another device does"() {
        await begin(home, "Another device");
        await home.getByRole("button", { name: "Go on" }).click();
        await home.getByRole("img", { name: "QR code" }).waitFor();
        await look(home, "qr");
        const other = await home.context().newPage();
        other.setDefaultTimeout(20_000);
        await begin(other, "Scanner");
        await other.getByLabel("Code").fill("code-of-alice");
        await other.getByRole("button", { name: "Go on" }).click();
        await other.getByText("Welcome to the telegraph, scanner").waitFor();
        await other.close();
        await home.getByRole("button", { name: "I have done it" }).click();
        await home.getByText("Welcome to the telegraph, paired").waitFor();
        await begin(home, "Another device");
        await home.getByLabel("What to show").selectOption("code");
        await home.getByRole("button", { name: "Go on" }).click();
        await home.getByText("code-of-alice").waitFor();
        await look(home, "code");
        await home.getByRole("button", { name: "Back" }).click();
        await home.getByLabel("What to show").selectOption("emoji");
        await home.getByRole("button", { name: "Go on" }).click();
        await home.getByText("🐍").waitFor();
        await home.getByRole("button", { name: "Cancel" }).click();
        await home.getByText("You have not been signed in").waitFor();
    },

    async "cookies, and every kind of field"() {
        await begin(home, "Cookies");
        await look(home, "cookies");
        await home.getByLabel("telegraph_session").fill("x");
        await home.getByRole("button", { name: "Go on" }).click();
        await home.getByRole("alert").waitFor();
        await home.getByLabel("telegraph_session").fill("s1");
        await home.getByRole("button", { name: "Go on" }).click();
        await home.getByText("Welcome to the telegraph, cookie").waitFor();
        await begin(home, "Everything");
        await look(home, "everything");
        await begin(home, "Passkey");
        await look(home, "passkey");
        await begin(home, "Fault");
        await home.getByRole("button", { name: "Go on" }).click();
        await home.getByText("The bridge has a fault").waitFor();
    },

    async "a chat"() {
        await home.goto(`${baseUrl}/_causeway/bridges/`);
        await home.getByRole("link", { name: "Start a chat on Telegraph" }).click();
        await look(home, "chat");
        await home.getByLabel("Whom do you want to talk to?").fill("nobody");
        await home.getByRole("button", { name: "Find" }).click();
        await home.getByRole("alert").waitFor();
        await look(home, "chat-nobody");
        await home.getByLabel("Whom do you want to talk to?").fill("grace");
        await home.getByRole("button", { name: "Find" }).click();
        await home.getByText("Grace", { exact: true }).waitFor();
        await look(home, "chat-found");
        await home.getByRole("button", { name: "Start the chat" }).click();
        await home.getByRole("heading", { name: "Chat with Grace" }).waitFor();
        await look(home, "chat-room");
        const room = await home.locator("dd code").textContent();
        assert.match(room, /^!/);
        const link = await home.getByRole("link", { name: "Open the room" }).getAttribute("href");
        assert.equal(decodeURIComponent(link), `https://matrix.to/#/${room}?via=causeway.test`);
        await home.getByRole("link", { name: "Another chat" }).click();
        await home.getByRole("button", { name: "Start a chat with Ada" }).click();
        await home.getByRole("heading", { name: "Chat with Ada" }).waitFor();
        const login = await (await fetch(`${baseUrl}/_matrix/client/v3/login`, { method: "POST", body: JSON.stringify({
            type: "m.login.password", identifier: { type: "m.id.user", user: "alice" }, password }) })).json();
        const joined = await fetch(`${baseUrl}/_matrix/client/v3/rooms/${encodeURIComponent(room)}/join`, {
            method: "POST", headers: { Authorization: `Bearer ${login.access_token}` }, body: "{}" });
        assert.equal(joined.status, 200);
    },

    async "logins that do not do well"() {
        for (const name of ["shaky", "expired", "broken"]) {
            await begin(phone, "Name and key");
            await fillKey(phone, name, "morse");
            await phone.getByText("Welcome to the telegraph").waitFor();
        }
        await phone.goto(`${baseUrl}/_causeway/bridges/`);
        await phone.getByText("There is a storm").waitFor();
        await look(phone, "states-phone");
        await phone.getByRole("link", { name: "Sign in again to expired" }).press("Enter");
        await phone.getByRole("button", { name: "Name and key" }).press("Enter");
        assert.equal(await phone.getByLabel("Name").inputValue(), "expired");
    },
};

await run(steps);
await close();
process.exit(0);
