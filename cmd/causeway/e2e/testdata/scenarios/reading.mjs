// Receipts, read markers and unread counts, and what an account keeps for itself.
import { Direction, EventType, ReceiptType } from "matrix-js-sdk";
import { equal, fails, ok } from "./people.mjs";

export async function receiptsAndCounts(cue) {
    const [alice, bob] = [await cue("alice"), await cue("bob")];
    await Promise.all([alice.start(), bob.start()]);
    const roomId = await alice.makesRoom();
    await bob.joins(roomId);
    await bob.says(roomId, "one");
    await bob.says(roomId, "two");
    const third = await bob.says(roomId, "three");
    await alice.until("three unread messages", () => alice.room(roomId).getUnreadNotificationCount("total") === 3);

    const newest = await alice.seesEvent(roomId, third);
    await alice.client.sendReadReceipt(newest, ReceiptType.ReadPrivate);
    await alice.until("nothing unread", () => alice.room(roomId).getUnreadNotificationCount("total") === 0);
    await bob.seesEvent(roomId, await alice.says(roomId, "I have not read it"));
    equal(receipts(bob, roomId, alice), [null, null], "a private receipt, as bob sees it");

    await alice.client.sendReadReceipt(newest, ReceiptType.Read);
    await bob.until("alice's receipt", () => receipts(bob, roomId, alice)[0] === third);
    equal(receipts(bob, roomId, alice), [third, null], "the receipts that bob sees");

    const fourth = await bob.says(roomId, "four");
    await alice.seesEvent(roomId, fourth);
    await alice.client.setRoomReadMarkers(roomId, fourth, alice.event(roomId, fourth));
    await alice.until("the marker", () => alice.room(roomId).getAccountData(EventType.FullyRead)?.getContent().event_id === fourth);
    await bob.until("the receipt of the marker", () => receipts(bob, roomId, alice)[0] === fourth);

    // Another login of alice's starts with the same counts, and the same markers.
    await bob.says(roomId, "five");
    await alice.until("one unread message", () => alice.room(roomId).getUnreadNotificationCount("total") === 1);
    const phone = await (await cue.again(alice)).start();
    equal(phone.room(roomId).getUnreadNotificationCount("total"), 1, "unread on another device");
    equal(phone.room(roomId).getAccountData(EventType.FullyRead)?.getContent().event_id, fourth, "the marker on another device");
    equal(receipts(phone, roomId, alice)[0], fourth, "the receipt on another device");
}

// receipts are the events to which a person has read a room, in public and in private, by what the server has told another.
function receipts(person, roomId, reader) {
    return [ReceiptType.Read, ReceiptType.ReadPrivate].map((type) => person.room(roomId).getReadReceiptForUserId(reader.id, true, type)?.eventId ?? null);
}

export async function markerIsOnesOwn(cue) {
    const [alice, bob] = [await cue("alice"), await cue("bob")];
    await Promise.all([alice.start(), bob.start()]);
    const roomId = await alice.makesRoom();
    await bob.joins(roomId);
    const first = await bob.says(roomId, "one");
    const second = await bob.says(roomId, "two");
    await alice.seesEvent(roomId, second);
    const phone = await (await cue.again(alice)).start();
    const marker = (person) => person.room(roomId).getAccountData(EventType.FullyRead)?.getContent().event_id ?? null;
    await alice.client.setRoomReadMarkers(roomId, first);
    await alice.until("the marker", () => marker(alice) === first);
    await phone.until("the marker", () => marker(phone) === first);
    equal(alice.room(roomId).getUnreadNotificationCount("total"), 2, "what a marker leaves unread");
    // All three at once.
    await alice.client.setRoomReadMarkers(roomId, second, alice.event(roomId, first), alice.event(roomId, second));
    await phone.until("the second marker", () => marker(phone) === second);
    await phone.until("all to be read", () => phone.room(roomId).getUnreadNotificationCount("total") === 0);
    await bob.until("the receipt", () => receipts(bob, roomId, alice)[0] === first);
    equal([receipts(bob, roomId, alice)[1], marker(bob)], [null, null], "what bob knows of it");
    await phone.until("the private receipt", () => receipts(phone, roomId, alice)[1] === second);
}

export async function tagsAndAccountData(cue) {
    const alice = await cue("alice");
    await alice.start();
    const roomId = await alice.makesRoom();
    await alice.client.setRoomTag(roomId, "m.favourite", { order: 0.25 });
    await alice.until("the tag", () => alice.room(roomId).tags["m.favourite"]?.order === 0.25);
    await alice.client.deleteRoomTag(roomId, "m.favourite");
    await alice.until("the tag to go", () => !alice.room(roomId).tags["m.favourite"]);
    await alice.client.setAccountData("com.example.thing", { colour: "blue" });
    await alice.until("account data", () => alice.client.getAccountData("com.example.thing")?.getContent().colour === "blue");
    await alice.client.setRoomAccountData(roomId, "com.example.here", { open: true });
    await alice.until("account data of the room", () => alice.room(roomId).getAccountData("com.example.here")?.getContent().open);

    const phone = await (await cue.again(alice)).start();
    equal(phone.client.getAccountData("com.example.thing")?.getContent(), { colour: "blue" }, "account data at another device");
    const path = `/user/${encodeURIComponent(alice.id)}/account_data/com.example.thing`;
    equal(await alice.client.http.authedRequest("GET", path), { colour: "blue" }, "account data, from the server");
    await alice.client.http.authedRequest("DELETE", path);
    await phone.until("account data to go", () => phone.client.getAccountData("com.example.thing")?.getContent().colour === undefined);
    await fails(alice.client.http.authedRequest("GET", path), "M_NOT_FOUND");
    const tablet = await (await cue.again(alice)).start();
    equal(tablet.client.getAccountData("com.example.thing") ?? null, null, "account data that was deleted, at a new device");

    const token = await alice.client.getOpenIdToken();
    ok(token.access_token && token.expires_in > 0 && token.matrix_server_name, "the OpenID token");
}

export async function ignoredPeopleAreNotHeard(cue) {
    const [alice, bob, carol] = [await cue("alice"), await cue("bob"), await cue("carol")];
    await Promise.all([alice.start(), bob.start(), carol.start()]);
    const roomId = await alice.makesRoom();
    await bob.joins(roomId);
    await carol.joins(roomId);
    await alice.client.setIgnoredUsers([bob.id]);
    await alice.until("the list", () => alice.client.isUserIgnored(bob.id));
    const ignored = await bob.says(roomId, "spam");
    const heard = await carol.says(roomId, "news");
    await alice.seesEvent(roomId, heard);
    equal(alice.event(roomId, ignored) ?? null, null, "what an ignored user said");
    // Nor are their invitations there, nor how often they have spoken.
    equal(alice.room(roomId).getUnreadNotificationCount("total"), 1, "unread messages");
    const second = await bob.makesRoom({ preset: "private_chat" });
    await bob.client.invite(second, alice.id);
    const third = await carol.makesRoom({ preset: "private_chat" });
    await carol.client.invite(third, alice.id);
    await alice.until("carol's invitation", () => alice.room(third)?.getMyMembership() === "invite");
    equal(alice.room(second) ?? null, null, "the invitation of an ignored user");
    // Whom one hears again one hears from then on, and when one looks back.
    await alice.client.setIgnoredUsers([]);
    await alice.until("the empty list", () => !alice.client.isUserIgnored(bob.id));
    await alice.seesEvent(roomId, await bob.says(roomId, "no spam"));
    const page = await alice.client.createMessagesRequest(roomId, null, 10, Direction.Backward);
    ok(page.chunk.some((e) => e.event_id === ignored), "what was said meanwhile");
}
