// Receipts, read markers and unread counts, and what an account keeps for itself.
import { EventType, ReceiptType } from "matrix-js-sdk";
import { equal, ok } from "./people.mjs";

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
    equal(bob.room(roomId).getReadReceiptForUserId(alice.id)?.eventId ?? null, null, "a private receipt, as bob sees it");

    await alice.client.sendReadReceipt(newest, ReceiptType.Read);
    await bob.until("alice's receipt", () => bob.room(roomId).getReadReceiptForUserId(alice.id)?.eventId === third);

    const fourth = await bob.says(roomId, "four");
    await alice.seesEvent(roomId, fourth);
    await alice.client.setRoomReadMarkers(roomId, fourth, alice.event(roomId, fourth));
    await alice.until("the marker", () => alice.room(roomId).getAccountData(EventType.FullyRead)?.getContent().event_id === fourth);
    await bob.until("the receipt of the marker", () => bob.room(roomId).getReadReceiptForUserId(alice.id)?.eventId === fourth);

    // Another login of alice's starts with the same counts.
    await bob.says(roomId, "five");
    await alice.until("one unread message", () => alice.room(roomId).getUnreadNotificationCount("total") === 1);
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
}
