// People for the scenarios: clients of matrix-js-sdk that are logged in, and waiting for what they see.
import * as sdk from "matrix-js-sdk";
import { logger } from "matrix-js-sdk/lib/logger.js";

logger.setLevel?.("warn");

// patienceMS is how long something may take that has to happen.
const patienceMS = 20_000;
// retryMS is the pause before something is asked for again.
const retryMS = 50;

export const password = "correct horse battery";

// run tells the people of this run from those of earlier ones, so that a server may be used again.
const run = Date.now().toString(36);
let people = 0;

// Watcher is somebody who waits for what there will be.
export class Watcher {
    constructor(username) {
        this.username = username;
        this.waiting = new Set();
    }

    // look is called whenever there may be something new.
    look() {
        for (const wait of [...this.waiting]) {
            wait();
        }
    }

    // until waits until check returns something, which is tried whenever there may be something new.
    until(what, check) {
        return new Promise((resolve, reject) => {
            let timer;
            const wait = () => {
                let found;
                try {
                    found = check();
                } catch (error) {
                    finish(() => reject(new Error(`${this.username} waits for ${what}: ${error.stack}`)));
                    return;
                }
                if (found) {
                    finish(() => resolve(found));
                }
            };
            const finish = (settle) => {
                clearTimeout(timer);
                this.waiting.delete(wait);
                settle();
            };
            timer = setTimeout(() => finish(() => reject(new Error(`${this.username} waited for ${what} in vain`))), patienceMS);
            this.waiting.add(wait);
            wait();
        });
    }

    // eventually waits until check, which asks somebody else, returns something.
    async eventually(what, check) {
        for (const end = Date.now() + patienceMS; Date.now() < end; ) {
            const found = await check();
            if (found) {
                return found;
            }
            await new Promise((resolve) => setTimeout(resolve, retryMS));
        }
        throw new Error(`${this.username} asked for ${what} in vain`);
    }
}

// Person is a user with one client.
export class Person extends Watcher {
    // register makes an account of which no other scenario knows.
    static async register(baseUrl, name) {
        const username = `${name}-${run}-${++people}`;
        const body = { username, password, auth: { type: "m.login.dummy" } };
        const answer = await sdk.createClient({ baseUrl }).registerRequest(body);
        return new Person(baseUrl, username, answer);
    }

    // guest makes an account that is good for looking around.
    static async guest(baseUrl) {
        const person = new Person(baseUrl, "guest", await sdk.createClient({ baseUrl }).registerGuest({}));
        person.client.setGuest(true);
        return person;
    }

    // again is the person at another device, of which nobody has read anything yet, or at one that has a name.
    async again(deviceId) {
        const { baseUrl } = this.client;
        const answer = await sdk.createClient({ baseUrl }).loginRequest({
            type: "m.login.password",
            identifier: { type: "m.id.user", user: this.username },
            password,
            device_id: deviceId,
        });
        return new Person(baseUrl, this.username, answer);
    }

    // restarted is the client anew, with what it has kept on its disk, which is its keys alone.
    restarted() {
        const { baseUrl } = this.client;
        return new Person(baseUrl, this.username, { user_id: this.id, device_id: this.deviceId, access_token: this.client.getAccessToken() });
    }

    constructor(baseUrl, username, { user_id: userId, device_id: deviceId, access_token: accessToken }) {
        super(username);
        this.id = userId;
        this.deviceId = deviceId;
        this.client = sdk.createClient({
            baseUrl,
            userId,
            deviceId,
            accessToken,
            timelineSupport: true,
            // Whoever knows the key of the secret storage is asked for it by the client.
            cryptoCallbacks: {
                getSecretStorageKey: async ({ keys }) => this.recovery && [Object.keys(keys)[0], this.recovery.privateKey],
            },
        });
        const emit = this.client.emit.bind(this.client);
        this.client.emit = (...args) => {
            const heard = emit(...args);
            queueMicrotask(() => this.look());
            return heard;
        };
    }

    // start follows /sync, and returns when the first answer was processed.
    async start(options = {}) {
        await this.client.startClient({ initialSyncLimit: 20, threadSupport: true, ...options });
        await this.until("the first sync", () => this.client.isInitialSyncComplete());
        return this;
    }

    stop() {
        this.client.stopClient();
    }

    room(roomId) {
        return this.client.getRoom(roomId);
    }

    // event returns an event of a room that the client knows.
    event(roomId, eventId) {
        return this.room(roomId)?.findEventById(eventId);
    }

    // seesEvent waits until the client has an event, and returns it.
    seesEvent(roomId, eventId) {
        return this.until(`event ${eventId}`, () => this.event(roomId, eventId));
    }

    // joins a room, and waits until the client knows it.
    async joins(roomId) {
        await this.client.joinRoom(roomId);
        return this.until(`the room ${roomId}`, () => this.room(roomId)?.getMyMembership() === "join" && this.room(roomId));
    }

    // leaves a room, or declines an invitation, and waits until the client knows it, which may be after others do. Before, joining the room again
    // would do nothing: of a room that it takes itself to be in, the SDK asks nothing of the server.
    async leaves(roomId) {
        await this.client.leave(roomId);
        await this.until(`the end of ${roomId}`, () => this.room(roomId).getMyMembership() === "leave");
    }

    // makesRoom returns the id of a new room, once the client knows it.
    async makesRoom(options = {}) {
        const { room_id: roomId } = await this.client.createRoom({ preset: "public_chat", ...options });
        await this.until("the new room", () => this.room(roomId)?.getMyMembership() === "join");
        return roomId;
    }

    async says(roomId, body, threadId = null) {
        const { event_id: eventId } = await this.client.sendMessage(roomId, threadId, { msgtype: "m.text", body });
        return eventId;
    }
}

export function equal(got, want, what) {
    const [a, b] = [JSON.stringify(got), JSON.stringify(want)];
    if (a !== b) {
        throw new Error(`${what}: got ${a}, want ${b}`);
    }
}

export function ok(value, what) {
    if (!value) {
        throw new Error(what);
    }
}

// fails returns the Matrix error that a promise ends with.
export async function fails(promise, code) {
    try {
        await promise;
    } catch (error) {
        equal(error.errcode, code, "errcode");
        return error;
    }
    throw new Error(`there was no error, want ${code}`);
}
