// An application service made with matrix-bot-sdk, and one whose user has the encryption of mautrix-go.
import Module from "node:module";
import { encrypted, encrypting, reads } from "./crypto.mjs";
import { equal, ok } from "./people.mjs";

// The SDK loads a library for encryption that npm does not have, but an installation fetches from elsewhere. Nothing here is encrypted by it.
const load = Module._load;
Module._load = (name, ...rest) => (name === "@matrix-org/matrix-sdk-crypto-nodejs" ? {} : load(name, ...rest));
const { Appservice, LogLevel, LogService, MemoryStorageProvider, SimpleRetryJoinStrategy } = await import("matrix-bot-sdk");
LogService.setLevel(LogLevel.WARN);

const registration = JSON.parse(process.env.CAUSEWAY_TEST_SERVICE);
const { hostname, port } = new URL(registration.url);
const serverName = /:(.*)$/.exec(registration.namespaces.users[0].regex)[1];

let running;
const heard = []; // of typing, receipts and presence

// service is the application service, which listens from when it is first asked for.
function service(baseUrl) {
    running ??= begin(baseUrl);
    return running;
}

async function begin(baseUrl) {
    const bots = new Appservice({
        port: Number(port),
        bindAddress: hostname,
        homeserverName: serverName,
        homeserverUrl: baseUrl,
        registration,
        storage: new MemoryStorageProvider(),
        joinStrategy: new SimpleRetryJoinStrategy(),
    });
    bots.on("room.invite", (roomId, event) => bots.getIntentForUserId(event.state_key).joinRoom(roomId));
    bots.on("room.message", async (roomId, event) => {
        if (event.content.body?.startsWith("!echo ")) {
            await bots.botIntent.sendText(roomId, event.content.body.slice("!echo ".length));
        }
    });
    bots.on("ephemeral.event", (event) => heard.push(event));
    bots.on("query.room", async (alias, create) => {
        await create(alias.startsWith("#bot_place_") && { visibility: "public", preset: "public_chat", name: "A place" });
    });
    bots.on("query.user", (userId, create) => create(userId.startsWith("@bot_summoned_") && { display_name: "A Summoned" }));
    bots.on("thirdparty.protocol", (protocol, answer) =>
        answer({
            user_fields: ["name"],
            location_fields: ["place"],
            icon: "mxc://bots/icon",
            field_types: { name: { regexp: ".+", placeholder: "ghost" }, place: { regexp: ".+", placeholder: "here" } },
            instances: [{ network_id: "net", desc: "Bots", fields: {} }],
        }),
    );
    bots.on("thirdparty.user.remote", (protocol, fields, answer) =>
        answer([{ protocol, userid: bots.getUserIdForSuffix(fields.name), fields: { name: fields.name } }]),
    );
    bots.on("thirdparty.location.remote", (protocol, fields, answer) => answer([]));
    await bots.begin();
    return bots;
}

// said waits until a person sees a message.
function said(person, roomId, sender, body) {
    return person.until(`${sender} to say "${body}"`, () =>
        person
            .room(roomId)
            ?.getLiveTimeline()
            .getEvents()
            .find((event) => event.getSender() === sender && event.getContent().body === body),
    );
}

export async function aBotAnswers(cue) {
    const alice = await (await cue("alice")).start();
    const bots = await service(alice.client.baseUrl);
    const roomId = await alice.makesRoom({ preset: "private_chat", invite: [bots.botUserId] });
    await alice.until("the bot", () => alice.room(roomId).getMember(bots.botUserId)?.membership === "join");
    for (const n of [1, 2, 3]) {
        await alice.says(roomId, `!echo ${n}`);
        await said(alice, roomId, bots.botUserId, `${n}`);
    }
}

export async function aBotHearsWhoTypesAndReads(cue) {
    const alice = await (await cue("alice")).start();
    const bots = await service(alice.client.baseUrl);
    const roomId = await alice.makesRoom({ preset: "private_chat", invite: [bots.botUserId] });
    await alice.until("the bot", () => alice.room(roomId).getMember(bots.botUserId)?.membership === "join");
    const hears = async (what, is) => {
        for (const end = Date.now() + 20_000; !heard.some((event) => event.room_id === roomId && is(event)); ) {
            ok(Date.now() < end, `the bot does not hear ${what}`);
            await new Promise((done) => setTimeout(done, 20));
        }
    };
    const types = ({ type, content }) => type === "m.typing" && content.user_ids.includes(alice.id);
    await alice.client.sendTyping(roomId, true, 30_000);
    await hears("that alice types", types);
    heard.splice(0, heard.length, ...heard.filter((event) => event.room_id !== roomId));
    await alice.client.sendTyping(roomId, false, 0);
    await hears("that alice stops", (event) => event.type === "m.typing" && !types(event));
    const eventId = await bots.botIntent.sendText(roomId, "read this");
    const event = await said(alice, roomId, bots.botUserId, "read this");
    await alice.client.sendReadReceipt(event);
    await hears("that alice reads", ({ type, content }) => type === "m.receipt" && content[eventId]?.["m.read"]?.[alice.id]);
}

export async function ghostsComeAndGo(cue) {
    const alice = await (await cue("alice")).start();
    const bots = await service(alice.client.baseUrl);
    const roomId = await alice.makesRoom({ preset: "private_chat", invite: [bots.botUserId] });
    await alice.until("the bot", () => alice.room(roomId).getMember(bots.botUserId)?.membership === "join");
    await alice.client.setPowerLevel(roomId, bots.botUserId, 50);
    await alice.until("the bot's power", () => alice.room(roomId).getMember(bots.botUserId).powerLevel === 50);
    const ghost = bots.getIntentForSuffix(`ghost_${Date.now()}`);
    await ghost.ensureRegistered();
    await ghost.underlyingClient.setDisplayName("A Ghost");
    await bots.botClient.inviteUser(ghost.userId, roomId);
    await ghost.ensureRegisteredAndJoined(roomId);
    await ghost.sendText(roomId, "boo");
    const event = await said(alice, roomId, ghost.userId, "boo");
    equal(event.sender.name, "A Ghost", "the ghost's name");
    await alice.says(roomId, "hello ghost");
    await ghost.leaveRoom(roomId);
    await alice.until("the ghost to go", () => alice.room(roomId).getMember(ghost.userId).membership === "leave");
}

export async function aRoomIsMadeWhenItIsLookedFor(cue) {
    const [alice, bob] = [await (await cue("alice")).start(), await (await cue("bob")).start()];
    const bots = await service(alice.client.baseUrl);
    const alias = `#bot_place_${Date.now()}:${serverName}`;
    const { roomId } = await alice.client.joinRoom(alias);
    await bob.client.joinRoom(alias);
    await bob.until("the room", () => bob.room(roomId)?.getMember(alice.id)?.membership === "join");
    equal(bob.room(roomId).name, "A place", "the room's name");
    await bob.says(roomId, "!echo here");
    await said(alice, roomId, bots.botUserId, "here");
    const refused = await alice.client.joinRoom(`#bot_nowhere:${serverName}`).then(
        () => undefined,
        (error) => error.errcode,
    );
    equal(refused, "M_NOT_FOUND", "a room that the service does not make");
}

export async function aGhostIsMadeWhenItIsInvited(cue) {
    const alice = await (await cue("alice")).start();
    await service(alice.client.baseUrl);
    const ghost = `@bot_summoned_${Date.now()}:${serverName}`;
    const roomId = await alice.makesRoom({ preset: "private_chat", invite: [ghost] });
    await alice.until("the ghost", () => alice.room(roomId).getMember(ghost)?.membership === "join");
    equal(alice.room(roomId).getMember(ghost).name, "A Summoned", "the ghost's name");
    const second = `@bot_summoned_too_${Date.now()}:${serverName}`;
    equal((await alice.client.getProfileInfo(second)).displayname, "A Summoned", "the name of one whose profile is asked for");
    const refused = await alice.client.getProfileInfo(`@bot_nobody:${serverName}`).then(
        () => undefined,
        (error) => error.errcode,
    );
    equal(refused, "M_NOT_FOUND", "one that the service does not make");
}

export async function networksAreFound(cue) {
    const alice = await cue("alice");
    const bots = await service(alice.client.baseUrl);
    const { bots: network } = await alice.client.getThirdpartyProtocols();
    equal([network.user_fields, network.instances[0].network_id], [["name"], "net"], "the network");
    ok(network.instances[0].instance_id, "the network has no instance_id");
    const [found] = await alice.client.getThirdpartyUser("bots", { name: "someone" });
    equal(found.userid, bots.getUserIdForSuffix("someone"), "who is found");
    const nowhere = await alice.client.getThirdpartyLocation("bots", { place: "x" }).then(
        () => undefined,
        (error) => error.errcode,
    );
    equal(nowhere, "M_NOT_FOUND", "a place that there is not");
}

export async function aServicesUserEncrypts(cue) {
    const [alice] = await encrypting(await cue("alice"));
    const { baseUrl } = alice.client;
    const bots = await service(baseUrl);
    const intent = bots.getIntentForSuffix(`gopher_${Date.now()}`);
    await intent.ensureRegistered();
    const gopher = await cue.puppet(intent.userId, registration.as_token);
    const { user_id: id, device_id: device } = await fetch(
        `${baseUrl}/_matrix/client/v3/account/whoami?user_id=${encodeURIComponent(gopher.id)}&device_id=${gopher.deviceId}`,
        { headers: { Authorization: `Bearer ${registration.as_token}` } },
    ).then((answer) => answer.json());
    equal([id, device], [gopher.id, gopher.deviceId], "who the gopher is");
    const roomId = await alice.makesRoom({ preset: "private_chat", initial_state: encrypted, invite: [gopher.id] });
    await gopher.joins(roomId);
    await alice.until("the gopher", () => alice.room(roomId).getMember(gopher.id)?.membership === "join");
    await gopher.knowsMembers(roomId, alice.id, gopher.id);
    const [one, two] = [await alice.says(roomId, "to the service"), await gopher.says(roomId, "from the service")];
    await gopher.reads(roomId, one, "to the service");
    await reads(alice, roomId, two, "from the service");
}
