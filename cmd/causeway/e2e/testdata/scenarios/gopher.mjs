// Users of mautrix-go, each a process (../gopher) that does what it is told.
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { equal, password, Watcher } from "./people.mjs";

// program is where the process's program is.
const program = process.env.CAUSEWAY_TEST_GOPHER;

// Gopher is a device of a user.
export class Gopher extends Watcher {
    // login signs in at another device of a person, whose own client need not have done anything.
    static async login(person, deviceId = "") {
        const gopher = new Gopher(person.username);
        const { user_id: id, device_id } = await gopher.do("login", {
            base_url: person.client.baseUrl,
            username: person.username,
            password,
            device_id: deviceId,
        });
        return Object.assign(gopher, { id, deviceId: device_id });
    }

    // puppet is a user of an application service, at a device of its own.
    static async puppet(baseUrl, userId, asToken) {
        const gopher = new Gopher(userId);
        const { user_id: id, device_id: deviceId } = await gopher.do("puppet", { base_url: baseUrl, user_id: userId, as_token: asToken });
        return Object.assign(gopher, { id, deviceId });
    }

    constructor(username) {
        super(username);
        this.answers = new Map(); // of requests that wait for one
        this.verifications = new Map(); // by transaction: how far each has come, newest last
        this.last = 0;
        this.process = spawn(program, { stdio: ["pipe", "pipe", "inherit"] });
        this.process.on("exit", () => this.answers.forEach(({ reject }) => reject(new Error(`${username}'s gopher has ended`))));
        createInterface({ input: this.process.stdout }).on("line", (text) => this.hear(JSON.parse(text)));
    }

    hear({ id, result, error, verification }) {
        if (verification) {
            const { txn_id: txn } = verification;
            this.verifications.set(txn, [...(this.verifications.get(txn) ?? []), verification]);
            this.look();
            return;
        }
        const { resolve, reject } = this.answers.get(id);
        this.answers.delete(id);
        if (error) {
            reject(new Error(`${this.username}'s gopher: ${error}`));
        } else {
            resolve(result);
        }
    }

    // do has it do something, and returns what came of it.
    do(op, args = {}) {
        return new Promise((resolve, reject) => {
            const id = ++this.last;
            this.answers.set(id, { resolve, reject });
            this.process.stdin.write(JSON.stringify({ id, op, args }) + "\n");
        });
    }

    stop() {
        this.process.stdin.end();
    }

    async joins(roomId) {
        await this.do("join", { room_id: roomId });
    }

    async says(roomId, body) {
        const { event_id: eventId } = await this.do("say", { room_id: roomId, body });
        return eventId;
    }

    // knowsMembers waits until it knows that a room is encrypted, and who is in it.
    async knowsMembers(roomId, ...ids) {
        await this.eventually("the members of the room", async () => {
            const known = await this.do("members", { room_id: roomId });
            return JSON.stringify(known) === JSON.stringify([...ids].sort());
        });
    }

    // reads waits until it can read a message, which must say body.
    async reads(roomId, eventId, body) {
        let failure;
        await this.eventually(`"${body}" to be read`, async () => {
            const read = await this.do("read", { room_id: roomId, event_id: eventId });
            failure = read.failure;
            if (!failure) {
                equal(read.body, body, `what ${this.username} reads`);
            }
            return !failure;
        }).catch((error) => {
            throw new Error(`${error.message}: ${failure}`);
        });
    }

    // cannotRead looks at a message that it must have no key for.
    async cannotRead(roomId, eventId) {
        const read = await this.do("read", { room_id: roomId, event_id: eventId });
        if (!read.failure) {
            throw new Error(`${this.username} reads ${JSON.stringify(read)}`);
        }
    }

    // knowsDevices waits until it knows that a user has these devices, and no others.
    async knowsDevices(userId, ...deviceIds) {
        await this.eventually(`the devices of ${userId}`, async () => {
            const known = await this.do("devices", { user_id: userId });
            return JSON.stringify(known) === JSON.stringify([...deviceIds].sort());
        });
    }

    // came waits until a verification has come so far: any, when txn is not given.
    came(state, txn) {
        return this.until(`a verification to be ${state}`, () => {
            const all = [...this.verifications.entries()].filter(([id]) => !txn || id === txn).flatMap(([, states]) => states);
            const cancelled = all.find((v) => v.state === "cancelled");
            if (cancelled) {
                throw new Error(`cancelled: ${cancelled.reason}`);
            }
            return all.find((v) => v.state === state);
        });
    }

    // shown waits for the emojis, as a side of crypto.mjs's compares. mautrix-go v0.31.0 has to be first to agree: who agrees after the other one, it
    // finds, has another master key, as it compares theirs with its own (ConfirmSAS).
    async shown(txn) {
        const { emoji } = await this.came("shown", txn);
        return { emoji, first: () => this.do("confirm", { txn_id: txn }), confirm: () => this.came("done", txn) };
    }

    // asks is the side that asks for a verification.
    async asks(userId) {
        const { txn_id: txn } = await this.do("verify", { user_id: userId });
        await this.came("ready", txn);
        await this.do("start", { txn_id: txn });
        return this.shown(txn);
    }

    // accepts is the side that is asked.
    async accepts() {
        const { txn_id: txn } = await this.came("requested");
        await this.do("accept", { txn_id: txn });
        return this.shown(txn);
    }
}
