// Threads: their roots, their lists, their receipts.
import { ReceiptType, RelationType, ThreadFilterType } from "matrix-js-sdk";
import { equal, ok } from "./people.mjs";

export async function threadHasRootListAndCounts(cue) {
    const [alice, bob] = [await cue("alice"), await cue("bob")];
    await Promise.all([alice.start(), bob.start()]);
    const roomId = await alice.makesRoom();
    await bob.joins(roomId);
    const rootId = await alice.says(roomId, "a topic");
    const aside = await alice.says(roomId, "in the room");
    await bob.seesEvent(roomId, aside);
    const inThread = (body) => ({
        "msgtype": "m.text",
        body,
        "m.relates_to": { "rel_type": RelationType.Thread, "event_id": rootId, "is_falling_back": true, "m.in_reply_to": { event_id: rootId } },
    });
    const first = (await bob.client.sendMessage(roomId, inThread("first"))).event_id;
    const second = (await bob.client.sendMessage(roomId, inThread("second"))).event_id;

    const thread = await alice.until("the thread", () => {
        const found = alice.room(roomId).getThread(rootId);
        return found?.length === 2 && found;
    });
    equal(thread.replyToEvent?.getId(), second, "the newest of the thread");

    const raw = await alice.client.fetchRoomEvent(roomId, rootId);
    const bundle = raw.unsigned["m.relations"]["m.thread"];
    equal([bundle.count, bundle.current_user_participated, bundle.latest_event.event_id], [2, true, second], "the bundle");
    const forBob = (await bob.client.fetchRoomEvent(roomId, rootId)).unsigned["m.relations"]["m.thread"];
    equal(forBob.current_user_participated, true, "bob takes part");

    for (const [kind, want] of [[ThreadFilterType.All, [rootId]], [ThreadFilterType.My, [rootId]]]) {
        const list = await alice.client.createThreadListMessagesRequest(roomId, null, 10, "b", kind);
        equal(list.chunk.map((e) => e.event_id), want, `the list ${kind}`);
    }
    const carol = await cue("carol");
    await carol.client.joinRoom(roomId);
    const others = await carol.client.createThreadListMessagesRequest(roomId, null, 10, "b", ThreadFilterType.My);
    equal(others.chunk, [], "carol's threads");

    // Counts by thread, and receipts that read one thread alone.
    await alice.until("unread messages of the thread", () => alice.room(roomId).getThreadUnreadNotificationCount(rootId, "total") === 2);
    const newest = thread.events.find((e) => e.getId() === second);
    await alice.client.sendReadReceipt(newest, ReceiptType.Read);
    await alice.until("the thread to be read", () => alice.room(roomId).getThreadUnreadNotificationCount(rootId, "total") === 0);
    await bob.until("alice's receipt", () => {
        const theirs = bob.room(roomId).getThread(rootId)?.getReadReceiptForUserId(alice.id);
        return theirs?.eventId === second;
    });
    ok(first, "the first message of the thread");
}
