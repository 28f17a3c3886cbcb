// Signing in by QR code: a device that is signed in and one that is not meet on the server, and the one lets the other in, with its keys
// (MSC4108 as of 2024, by the SDK on both sides).
import { createClient, OAuth2 } from "matrix-js-sdk";
import {
    isSignInWithQRAvailable,
    linkNewDeviceByGeneratingQR,
    MSC4108FailureReason,
    MSC4108RendezvousSession,
    MSC4108SecureChannel,
    MSC4108SignInWithQR,
    signInByGeneratingQR,
} from "matrix-js-sdk/lib/rendezvous/index.js";
import { QrCodeData, QrCodeIntent } from "@matrix-org/matrix-sdk-crypto-wasm";
import { backsUp, encrypting, keepsSecrets, knowsDevices, reads, secretRoom, signsKeys, trusts } from "./crypto.mjs";
import { equal, ok, password, Person } from "./people.mjs";

const metadata = {
    client_name: "Phone", client_uri: "https://phone.example/", application_type: "native", redirect_uris: ["http://127.0.0.1/back"],
    grant_types: ["authorization_code", "refresh_token", "urn:ietf:params:oauth:grant-type:device_code"], response_types: ["code"],
    token_endpoint_auth_method: "none",
};

// Browser visits pages of the server, and remembers its cookie.
class Browser {
    async open(address, options = {}) {
        const answer = await fetch(address, { redirect: "manual", ...options, headers: { Cookie: this.cookie ?? "", ...options.headers } });
        this.cookie = answer.headers.get("set-cookie")?.split(";")[0] ?? this.cookie;
        if (answer.status === 303) {
            return this.open(new URL(answer.headers.get("location"), address).href);
        }
        Object.assign(this, { address, status: answer.status, page: await answer.text() });
        return this.page;
    }

    // send fills in the form of the page that leads to a path.
    async send(path, values) {
        const form = this.page.split("<form ").find((part) => part.includes(`action="${path}"`));
        ok(form, `there is no form to ${path} in ${this.page}`);
        const fields = [...form.matchAll(/<input [^>]*name="([^"]+)"[^>]*>/g)].map(([input, name]) => [name, unescape(input.match(/value="([^"]*)"/)?.[1] ?? "")]);
        const origin = new URL(this.address).origin;
        return this.open(origin + path, { method: "POST", headers: { Origin: origin }, body: new URLSearchParams({ ...Object.fromEntries(fields), ...values }) });
    }
}

function unescape(html) {
    return html.replaceAll("&#43;", "+").replaceAll("&#34;", '"').replaceAll("&#39;", "'").replaceAll("&lt;", "<").replaceAll("&gt;", ">").replaceAll("&amp;", "&");
}

// decides says in a browser whether a device may sign in.
async function decides(person, verificationUri, answer) {
    const browser = new Browser();
    await browser.open(verificationUri);
    await browser.send("/_causeway/account/login", { username: person.username, password });
    await browser.send("/_causeway/oauth2/device", {});
    ok(browser.page.includes("Phone"), `the client is named in ${browser.page}`);
    const page = await browser.send("/_causeway/oauth2/device", { answer });
    ok(page.includes(answer === "allow" ? "Device signed in" : "Request refused"), page);
}

// scans is the flow of whoever scans a code. client is of the device that is signed in.
function scans(code, client, failed) {
    const data = QrCodeData.fromBytes(code);
    equal(data.mode, client ? QrCodeIntent.Login : QrCodeIntent.Reciprocate, "whose code it is");
    const session = new MSC4108RendezvousSession({ url: data.rendezvousUrl, onFailure: failed });
    return new MSC4108SignInWithQR(new MSC4108SecureChannel(session, data.publicKey, failed), true, client, failed);
}

// newDevice asks to be signed in, with a device id of its own, and returns what it needs for that.
async function newDevice(baseUrl) {
    const server = await createClient({ baseUrl }).getAuthMetadata();
    const clientId = await OAuth2.registerClient(server, metadata);
    return { metadata: server, clientId, deviceId: `QR${Math.random().toString(36).slice(2).toUpperCase()}` };
}

// signsIn takes the steps of both sides, once each has a flow of the meeting.
async function signsIn(person, existing, fresh, answer) {
    const { baseUrl } = person.client;
    const [, { serverName }] = await Promise.all([existing.negotiateProtocols(), fresh.negotiateProtocols()]);
    if (serverName) {
        equal(serverName, person.client.getDomain(), "the server");
    }
    equal(existing.checkCode, fresh.checkCode, "the check code");
    const device = await newDevice(baseUrl);
    const [asked] = await Promise.all([existing.deviceAuthorizationGrant(), fresh.deviceAuthorizationGrant(device)]);
    await decides(person, asked.verificationUri, answer);
    const shared = existing.shareSecrets();
    shared.catch(() => {}); // it is awaited below
    const tokens = await fresh.completeLoginOnNewDevice({ clientId: device.clientId });
    const [{ secrets }] = await Promise.all([fresh.shareSecrets(), shared]);
    await fresh.close();
    return { device, tokens, secrets };
}

// isSet has the new device in use: it is trusted, knows all secrets, and reads what was written before it was there.
async function isSet(cue, person, { device, tokens, secrets }, said) {
    const whoami = await createClient({ baseUrl: person.client.baseUrl, accessToken: tokens.access_token }).whoami();
    equal([whoami.user_id, whoami.device_id], [person.id, device.deviceId], "whose token it is");
    ok(tokens.refresh_token, "there is a refresh token");
    const phone = cue.joined(new Person(person.client.baseUrl, person.username, { ...whoami, access_token: tokens.access_token }));
    await phone.client.initRustCrypto({ useIndexedDB: false });
    phone.crypto = phone.client.getCrypto();
    await phone.crypto.importSecretsBundle(secrets);
    await phone.start();
    await phone.crypto.userHasCrossSigningKeys();
    await knowsDevices(phone, person.id, person.deviceId, device.deviceId);
    await phone.crypto.crossSignDevice(device.deviceId);
    await Promise.all([trusts(person, person.id, device.deviceId), trusts(phone, person.id, person.deviceId)]);
    ok(await phone.crypto.isCrossSigningReady(), "the phone signs keys");
    const { privateKeysCachedLocally: keys } = await phone.crypto.getCrossSigningStatus();
    ok(keys.masterKey && keys.selfSigningKey && keys.userSigningKey, "the phone has the secret keys");
    ok(await phone.crypto.getSessionBackupPrivateKey(), "the phone has the key of the backup");
    await phone.crypto.checkKeyBackupAndEnable();
    await reads(phone, ...said);
    return phone;
}

// replacesKeys has a device that came by OAuth make a new identity, which its user allows on the account page (MSC4312).
async function replacesKeys(phone) {
    const before = await phone.crypto.getCrossSigningKeyId();
    await phone.crypto.resetEncryption(async (makeRequest) => {
        const { data } = await makeRequest(null).catch((error) => error);
        equal(data.flows[0].stages, ["m.oauth"], "the first flow");
        const { url } = data.params["m.oauth"];
        equal(new URL(url).searchParams.get("device_id"), phone.deviceId, "which device is named");
        const early = await makeRequest({ session: data.session }).catch((error) => error);
        equal(early.httpStatus, 401, "the answer before it is allowed");
        const browser = new Browser();
        await browser.open(url);
        await browser.send("/_causeway/account/login", { username: phone.username, password });
        const page = await browser.send("/_causeway/account/reset", {});
        ok(page.includes("within ten minutes"), page);
        await makeRequest({ session: data.session });
    });
    ok((await phone.crypto.getCrossSigningKeyId()) !== before, "the keys are others");
}

// laptop is somebody's device, with all that one can have.
async function laptop(cue) {
    const [person] = await encrypting(await cue("alice"));
    await signsKeys(person);
    await keepsSecrets(person);
    const roomId = await secretRoom(person);
    const said = [roomId, await person.says(roomId, "before the phone"), "before the phone"];
    await reads(person, ...said);
    await backsUp(person, 1);
    ok(await isSignInWithQRAvailable(person.client), "the server is one for QR codes");
    return { person, said };
}

export async function phoneScansTheLaptop(cue) {
    const { person, said } = await laptop(cue);
    const failures = [];
    const failed = (reason) => failures.push(reason);
    const existing = await linkNewDeviceByGeneratingQR(person.client, failed, new AbortController().signal);
    const fresh = scans(existing.code, undefined, failed);
    const phone = await isSet(cue, person, await signsIn(person, existing, fresh, "allow"), said);
    equal(failures, [], "failures");
    await replacesKeys(phone);
}

export async function laptopScansThePhone(cue) {
    const { person, said } = await laptop(cue);
    const failures = [];
    const failed = (reason) => failures.push(reason);
    const fresh = await signInByGeneratingQR(createClient({ baseUrl: person.client.baseUrl }), failed, new AbortController().signal);
    const existing = scans(fresh.code, person.client, failed);
    await isSet(cue, person, await signsIn(person, existing, fresh, "allow"), said);
    equal(failures, [], "failures");
}

export async function phoneIsRefused(cue) {
    const [person] = await encrypting(await cue("alice"));
    const failed = () => {};
    const existing = await linkNewDeviceByGeneratingQR(person.client, failed, new AbortController().signal);
    const fresh = scans(existing.code, undefined, failed);
    const reason = await signsIn(person, existing, fresh, "deny").then(
        () => "none",
        (error) => error.code,
    );
    equal(reason, MSC4108FailureReason.UserCancelled, "why it failed");
    equal((await person.client.getDevices()).devices.length, 1, "how many devices there are");
}
