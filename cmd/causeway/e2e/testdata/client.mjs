// Matrix clients for the end-to-end tests, on matrix-js-sdk, as many in one
// process as the test wants. Each line of standard input is a request in JSON:
//
//	{"id": 1, "client": "mary", "op": "login", "args": {…}}
//
// and each line of standard output an answer to one, or an event that a client
// got from its server, in the order of the room:
//
//	{"id": 1, "result": {…}}    {"id": 1, "error": {"message", "errcode", "status"}}
//	{"client": "mary", "event": {…}, "gap": false}
//
// Standard error has the SDK's log. The process ends with its standard input.
import { Console } from "node:console";
import { createInterface } from "node:readline";

globalThis.console = new Console(process.stderr);
const sdk = await import("matrix-js-sdk");
const { logger } = await import("matrix-js-sdk/lib/logger.js");
logger.setLevel?.("warn");

// pageSize is how many events are asked for at once when a gap is filled.
const pageSize = 100;
// retryMS is the pause before a request is made again that got no answer.
const retryMS = 50;

const sessions = new Map(); // by the name that the test gave the client

function print(line) {
    process.stdout.write(JSON.stringify(line) + "\n");
}

// Session is one Matrix client and what it has seen.
class Session {
    constructor(name, options) {
        this.name = name;
        this.client = sdk.createClient(options);
        this.seen = new Map(); // room ID to the IDs of its events so far
        this.tails = new Map(); // room ID to the last job of its queue
    }

    // start follows /sync, and resolves when the first answer was processed. The
    // server is asked for at most limit events of a room at once; without limit,
    // as many as it likes.
    async start({ limit } = {}) {
        this.client.on(sdk.ClientEvent.Event, (event) => this.enqueue(event.getRoomId(), () => this.show(event.event)));
        this.client.on(sdk.RoomEvent.TimelineReset, (room) => {
            const token = room?.getLiveTimeline().getPaginationToken(sdk.EventTimeline.BACKWARDS);
            if (token) {
                this.enqueue(room.roomId, () => this.fill(room.roomId, token));
            }
        });
        const prepared = new Promise((resolve) => {
            this.client.on(sdk.ClientEvent.Sync, (state) => {
                print({ client: this.name, sync: state });
                if (state === "PREPARED") {
                    resolve();
                }
            });
        });
        let filter;
        if (limit) {
            filter = new sdk.Filter(this.client.getUserId());
            filter.setTimelineLimit(limit);
        }
        await this.client.startClient({ initialSyncLimit: 8, filter });
        await prepared;
    }

    // enqueue keeps the order of a room while a gap in it is being filled.
    enqueue(roomID, job) {
        const tail = (this.tails.get(roomID) ?? Promise.resolve()).then(job);
        this.tails.set(
            roomID,
            tail.catch((error) => print({ client: this.name, failure: describe(error) })),
        );
    }

    show(event, gap = false) {
        if (event.room_id) {
            this.idsOf(event.room_id).add(event.event_id);
        }
        print({ client: this.name, event, gap });
    }

    idsOf(roomID) {
        if (!this.seen.has(roomID)) {
            this.seen.set(roomID, new Set());
        }
        return this.seen.get(roomID);
    }

    // fill shows what a limited timeline left out, as a person who scrolls up
    // would see it, oldest first. There is no gap before the first sync.
    async fill(roomID, token) {
        const seen = this.idsOf(roomID);
        if (seen.size === 0) {
            return;
        }
        const missed = [];
        for (let from = token; from; ) {
            const page = await untilAnswered(() =>
                this.client.createMessagesRequest(roomID, from, pageSize, sdk.Direction.Backward),
            );
            const known = page.chunk.findIndex((event) => seen.has(event.event_id));
            missed.push(...(known < 0 ? page.chunk : page.chunk.slice(0, known)));
            from = known < 0 ? page.end : undefined;
        }
        for (const event of missed.reverse()) {
            this.show({ room_id: roomID, ...event }, true);
        }
    }

    // send sends one event and resolves when the server acknowledged it. With
    // retry, what got no answer is sent again, with the same transaction ID.
    async send({ room_id: roomID, type = "m.room.message", content, retry = false }) {
        const txnID = this.client.makeTxnId();
        let attempts = 0;
        const attempt = () => {
            if (++attempts === 1) {
                return this.client.sendEvent(roomID, null, type, content, txnID);
            }
            const room = this.client.getRoom(roomID);
            const echo = room.findEventById(`~${roomID}:${txnID}`);
            if (echo) {
                return this.client.resendEvent(echo, room);
            }
            // Only the answer was lost: /sync has brought the event in the meantime, and the
            // SDK has nothing left to send. The server says again which event it was.
            const path = ["rooms", roomID, "send", type, txnID].map(encodeURIComponent).join("/");
            return this.client.http.authedRequest("PUT", `/${path}`, undefined, content);
        };
        const { event_id: eventID } = await (retry ? untilAnswered(attempt) : attempt());
        return { event_id: eventID, attempts };
    }
}

// untilAnswered repeats a request while the server does not answer, or says that
// the fault is its own.
async function untilAnswered(request) {
    for (;;) {
        try {
            return await request();
        } catch (error) {
            if ((error.httpStatus !== undefined && error.httpStatus < 500) || error instanceof TypeError) {
                throw error;
            }
            await new Promise((resolve) => setTimeout(resolve, retryMS));
        }
    }
}

// register makes an account through user-interactive authentication, with a
// registration token if there is one, and is logged in afterwards.
async function register(name, { base_url: baseUrl, username, password, token }) {
    const client = sdk.createClient({ baseUrl });
    const auth = new sdk.InteractiveAuth({
        matrixClient: client,
        doRequest: (auth) => client.registerRequest({ username, password, auth: auth ?? undefined }),
        busyChanged: () => {},
        stateUpdated: (stage, status) => {
            if (stage === sdk.AuthType.RegistrationToken && token && !status.error) {
                auth.submitAuthDict({ type: stage, token });
            } else if (stage !== sdk.AuthType.Dummy) {
                refuse(new Error(`cannot complete ${stage}: ${status.error ?? "no token"}`));
            }
        },
        supportedStages: [sdk.AuthType.RegistrationToken, sdk.AuthType.Dummy],
    });
    let refuse;
    const refused = new Promise((_, reject) => (refuse = reject));
    return open(name, baseUrl, await Promise.race([auth.attemptAuth(), refused]));
}

async function login(name, { base_url: baseUrl, username, password }) {
    const answer = await sdk.createClient({ baseUrl }).loginRequest({
        type: "m.login.password",
        identifier: { type: "m.id.user", user: username },
        password,
    });
    return open(name, baseUrl, answer);
}

function open(name, baseUrl, { user_id: userId, device_id: deviceId, access_token: accessToken }) {
    sessions.set(name, new Session(name, { baseUrl, userId, deviceId, accessToken }));
    return { user_id: userId, device_id: deviceId, access_token: accessToken };
}

const operations = {
    register: (name, args) => register(name, args),
    login: (name, args) => login(name, args),
    start: (name, args) => sessions.get(name).start(args),
    stop: (name) => sessions.get(name).client.stopClient(),
    send: (name, args) => sessions.get(name).send(args),
    // call is any method of the SDK's MatrixClient.
    call: async (name, { method, args }) => {
        const result = await sessions.get(name).client[method](...args);
        return result instanceof sdk.Room ? { room_id: result.roomId } : result;
    },
};

function describe(error) {
    return { message: String(error?.message ?? error), errcode: error?.errcode, status: error?.httpStatus };
}

async function answer({ id, client, op, args }) {
    try {
        print({ id, result: (await operations[op](client, args)) ?? {} });
    } catch (error) {
        print({ id, error: describe(error) });
    }
}

const requests = createInterface({ input: process.stdin });
requests.on("line", (line) => answer(JSON.parse(line)));
requests.on("close", () => process.exit(0));
