// The homeserver as the tests of group calls see it: people, and what they ask for.
import { strict as assert } from "node:assert";

// homeserver is the one at an address.
export function homeserver(baseUrl) {
    async function ask(method, path, token, body) {
        const headers = token ? { Authorization: `Bearer ${token}` } : {};
        const answer = await fetch(`${baseUrl}/_matrix/client/v3${path}`, { method, headers, body: body && JSON.stringify(body) });
        const json = await answer.json();
        assert.equal(answer.status, 200, `${method} ${path}: ${JSON.stringify(json)}`);
        return json;
    }

    // register makes an account. The identity is that of its device in a call.
    async function register(username) {
        const who = await ask("POST", "/register", "", { username, password: "correct horse", auth: { type: "m.login.dummy" } });
        return { baseUrl, userId: who.user_id, accessToken: who.access_token, deviceId: who.device_id, identity: `${who.user_id}:${who.device_id}` };
    }

    // meet makes a room in which all are.
    async function meet(host, ...guests) {
        const { room_id: room } = await ask("POST", "/createRoom", host.accessToken, { preset: "public_chat" });
        for (const guest of guests) await ask("POST", `/rooms/${encodeURIComponent(room)}/join`, guest.accessToken, {});
        return room;
    }

    return { ask, register, meet };
}

// within ends what takes too long, and tells what has come of it by then.
export function within(what, promise, state) {
    let timer;
    const late = new Promise((_, reject) => {
        timer = setTimeout(async () => {
            const text = await Promise.race([state(), new Promise((r) => setTimeout(r, 5000, "and no answer to how it is"))]).catch(String);
            reject(new Error(`${what}: not within ${patience / 1000} seconds: ${text}`));
        }, patience);
    });
    return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

// patience is how long anything may take on a machine that is slow, in milliseconds.
const patience = 90_000;
