// A client that has Element Call as a widget in a room, as small as one can be: what the widget asks for, it asks the homeserver for, and what
// happens in the room, it tells the widget (MSC2762, MSC2876, MSC3819, MSC4157, MSC4515). Messages between devices it sends as they are: to
// encrypt those is the work of a client, and nothing that the server sees to. It runs in a page. widget.mjs asks it by window.host.

// versions are the parts of the widget API that the host has.
const versions = [
    "0.0.1", "0.0.2", "org.matrix.msc2762", "org.matrix.msc2762_update_state", "org.matrix.msc2871", "org.matrix.msc2931", "org.matrix.msc2974", "org.matrix.msc2876",
    "org.matrix.msc3819", "town.robin.msc3846", "org.matrix.msc3869", "org.matrix.msc4039", "org.matrix.msc4515",
];

const widgetId = "call";
let who, frame;
const waiting = new Map(); // by requestId, who waits for an answer of the widget
const asked = []; // what the widget has asked for, in order

async function ask(method, path, body, prefix = "/_matrix/client/v3") {
    const headers = { Authorization: `Bearer ${who.accessToken}`, "Content-Type": "application/json" };
    const answer = await fetch(who.baseUrl + prefix + path, { method, headers, body: body && JSON.stringify(body) });
    const json = await answer.json();
    if (!answer.ok) throw Object.assign(new Error(`${method} ${path}: ${JSON.stringify(json)}`), { status: answer.status, json });
    return json;
}

const room = () => `/rooms/${encodeURIComponent(who.roomId)}`;

// tell sends something to the widget, and gives its answer.
function tell(action, data) {
    const requestId = crypto.randomUUID();
    const answer = new Promise((resolve) => waiting.set(requestId, resolve));
    frame.contentWindow.postMessage({ api: "toWidget", widgetId, requestId, action, data }, "*");
    return answer;
}

async function sendEvent({ type, state_key: stateKey, content, delay }) {
    const late = delay === undefined ? "" : `?org.matrix.msc4140.delay=${delay}`;
    const path = stateKey === undefined
        ? `${room()}/send/${encodeURIComponent(type)}/${crypto.randomUUID()}`
        : `${room()}/state/${encodeURIComponent(type)}/${encodeURIComponent(stateKey)}`;
    return { room_id: who.roomId, ...(await ask("PUT", path + late, content)) };
}

async function readEvents({ type, state_key: stateKey, limit = 25 }) {
    if (stateKey === undefined) {
        const { chunk } = await ask("GET", `${room()}/messages?dir=b&limit=${limit}`);
        return { events: chunk.filter((e) => e.type === type && e.state_key === undefined) };
    }
    const state = await ask("GET", `${room()}/state`);
    return { events: state.filter((e) => e.type === type && (stateKey === true || e.state_key === stateKey)) };
}

// requests are what the widget may ask for. Of others it is told that all is well.
const requests = {
    supported_api_versions: () => ({ supported_versions: versions }),
    get_openid: async () => ({ state: "allowed", ...(await ask("POST", `/user/${encodeURIComponent(who.userId)}/openid/request_token`, {})) }),
    send_event: sendEvent,
    async send_to_device({ type, messages }) {
        await ask("PUT", `/sendToDevice/${encodeURIComponent(type)}/${crypto.randomUUID()}`, { messages });
        return {};
    },
    async "org.matrix.msc4157.update_delayed_event"({ delay_id: id, action }) {
        await ask("POST", `/org.matrix.msc4140/delayed_events/${encodeURIComponent(id)}/${action}`, {}, "/_matrix/client/unstable");
        return {};
    },
    "org.matrix.msc2876.read_events": readEvents,
    "org.matrix.msc3869.read_relations": () => ({ chunk: [] }),
    "org.matrix.msc4515.get_rtc_transports": () => ask("GET", "/org.matrix.msc4143/rtc/transports", undefined, "/_matrix/client/unstable"),
};

window.addEventListener("message", async ({ source, data: message }) => {
    if (source !== frame?.contentWindow || message.widgetId !== widgetId) return;
    if (message.api === "toWidget") {
        waiting.get(message.requestId)?.(message.response);
        waiting.delete(message.requestId);
        return;
    }
    asked.push(message.action);
    let response = {};
    try {
        response = (await requests[message.action]?.(message.data)) ?? {};
    } catch (error) {
        response = { error: { message: error.message, matrix_api_error: error.json && { http_status: error.status, http_headers: {}, url: "", response: error.json } } };
        asked.push(error.message);
    }
    source.postMessage({ ...message, response }, "*");
    if (message.action === "content_loaded") welcome();
});

// welcome tells a widget that is there what it may do and how the room is, and from then on what happens.
async function welcome() {
    const { capabilities } = await tell("capabilities", {});
    await tell("notify_capabilities", { requested: capabilities, approved: capabilities });
    const filter = encodeURIComponent(JSON.stringify({ room: { rooms: [who.roomId] }, presence: { types: [] } }));
    let { next_batch: since } = await ask("GET", `/sync?filter=${filter}`);
    await tell("update_state", { state: await ask("GET", `${room()}/state`) });
    for (;;) {
        const sync = await ask("GET", `/sync?timeout=20000&filter=${filter}&since=${since}`);
        since = sync.next_batch;
        for (const message of sync.to_device?.events ?? []) tell("send_to_device", { ...message, encrypted: true });
        const here = sync.rooms?.join?.[who.roomId];
        const events = [...(here?.state?.events ?? []), ...(here?.timeline?.events ?? [])].map((e) => ({ ...e, room_id: who.roomId }));
        const state = events.filter((e) => e.state_key !== undefined);
        if (state.length > 0) tell("update_state", { state });
        for (const e of here?.timeline?.events ?? []) tell("send_event", { ...e, room_id: who.roomId });
    }
}

// call opens the widget for somebody.
function call(options) {
    who = options;
    const parameters = new URLSearchParams({
        widgetId, parentUrl: location.origin, roomId: who.roomId, userId: who.userId, deviceId: who.deviceId, baseUrl: who.baseUrl, lang: "en",
        intent: who.intent, skipLobby: "true", perParticipantE2EE: "true", confineToRoom: "true",
    });
    frame = document.createElement("iframe");
    frame.allow = "camera;microphone;display-capture;autoplay";
    frame.style = "border: 0; position: fixed; inset: 0; width: 100%; height: 100%";
    frame.src = `/call/index.html#?${parameters}`;
    document.body.append(frame);
}

window.host = { call, asked: () => asked };
