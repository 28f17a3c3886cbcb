// Drives the pages about other networks in Chromium: who signs in to them, and starts chats. Arguments: the address of the homeserver, which
// bridges to IRC, and a folder for screenshots. Each line of standard output is what became of a step: {"name", "error"}.
import { Console } from "node:console";
import { strict as assert } from "node:assert";

globalThis.console = new Console(process.stderr);
const { chromium } = await import("./chromium.mjs");

const [baseUrl, folder] = process.argv.slice(2);
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

const steps = {
    async "the networks that there are"() {
        await signUp(home, "alice");
        await home.getByRole("heading", { name: "IRC" }).waitFor();
        await home.getByText("You are not signed in.").waitFor();
        await look(home, "none");
        await home.goto(`${baseUrl}/_causeway/account/`);
        await home.getByRole("link", { name: "Networks" }).click();
    },

    async "a nick that cannot be"() {
        await home.getByRole("link", { name: "Sign in" }).click();
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

    async "an account, on a telephone, by keyboard alone"() {
        await signUp(phone, "bob");
        await phone.getByRole("link", { name: "Sign in" }).press("Enter");
        await phone.getByRole("button", { name: "Account" }).press("Enter");
        await phone.getByLabel("Nick").waitFor();
        await look(phone, "account-phone");
        await phone.getByRole("button", { name: "Cancel" }).press("Enter");
        await phone.getByText("You have not been signed in").waitFor();
        await look(phone, "cancelled-phone");
    },

    async "signing out"() {
        await home.getByRole("link", { name: "Sign out" }).click();
        await look(home, "sign-out");
        await home.getByRole("button", { name: "Sign out", exact: true }).last().click();
        await home.getByText("You are signed out of the network").waitFor();
        await home.getByText("You are not signed in.").waitFor();
        await look(home, "signed-out");
    },
};

await run(steps);
await close();
process.exit(0);
