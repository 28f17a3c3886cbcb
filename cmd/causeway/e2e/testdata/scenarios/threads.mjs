// Threads: their roots, their lists, their receipts.
import { ReceiptType, ThreadFilterType } from "matrix-js-sdk";
import { equal } from "./people.mjs";

export async function threadHasRootListAndCounts(cue) {
    const [alice, bob] = [await cue("alice"), await cue("bob")];
    await Promise.all([alice.start(), bob.start()]);
    const roomId = await alice.makesRoom();
    await bob.joins(roomId);
    const rootId = await alice.says(roomId, "a topic");
    const aside = await alice.says(roomId, "in the room");
    await bob.seesEvent(roomId, aside);
    opens(bob, roomId, rootId);
    const first = await bob.says(roomId, "first", rootId);
    const second = await bob.says(roomId, "second", rootId);

    // The SDK's own length of a thread depends on whether the second message or the SDK's question for the root comes first.
    const thread = await alice.until("the thread", () => {
        const found = alice.room(roomId).getThread(rootId);
        return found?.findEventById(first) && found.findEventById(second) && found;
    });
    await alice.until("the newest of the thread", () => thread.replyToEvent?.getId() === second);

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
}

// opens a thread, as a client does before a person can write in it.
function opens(person, roomId, rootId) {
    person.room(roomId).createThread(rootId, person.event(roomId, rootId), [], true);
}

// receipt is what a person's client was told by the server of another's receipt in a thread, null for none.
function receipt(person, roomId, threadId, userId, type = ReceiptType.Read) {
    return person.room(roomId).getThread(threadId)?.getReadReceiptForUserId(userId, true, type)?.eventId ?? null;
}

// unread is the count of a thread, or of what is in none.
function unread(person, roomId, threadId, type = "total") {
    const room = person.room(roomId);
    return threadId ? room.getThreadUnreadNotificationCount(threadId, type) : room.getRoomUnreadNotificationCount(type);
}

export async function threadsAreReadOneByOne(cue) {
    const [alice, bob] = [await cue("alice"), await cue("bob")];
    await Promise.all([alice.start(), bob.start()]);
    const roomId = await alice.makesRoom();
    await bob.joins(roomId);
    const roots = [await alice.says(roomId, "one topic"), await alice.says(roomId, "another")];
    const last = [];
    for (const rootId of roots) {
        await bob.seesEvent(roomId, rootId);
        opens(bob, roomId, rootId);
        await bob.says(roomId, "an answer", rootId);
        last.push(await bob.says(roomId, "another answer", rootId));
    }
    const aside = await bob.says(roomId, "in the room");
    await alice.until("all counts", () => unread(alice, roomId, roots[0]) === 2 && unread(alice, roomId, roots[1]) === 2 && unread(alice, roomId) === 1);

    // One thread is read in private: alice's other devices know, bob does not.
    const phone = await (await cue.again(alice)).start();
    await alice.client.sendReadReceipt(alice.event(roomId, last[0]), ReceiptType.ReadPrivate);
    await alice.until("the first thread to be read", () => unread(alice, roomId, roots[0]) === 0);
    await phone.until("the first thread to be read", () => unread(phone, roomId, roots[0]) === 0 && unread(phone, roomId, roots[1]) === 2 && unread(phone, roomId) === 1);
    // The other in public.
    await alice.client.sendReadReceipt(alice.event(roomId, last[1]), ReceiptType.Read);
    await bob.until("alice's receipt in the second thread", () => receipt(bob, roomId, roots[1], alice.id) === last[1]);
    equal(receipt(bob, roomId, roots[0], alice.id), null, "alice's receipt in the first thread, as bob sees it");
    equal(receipt(bob, roomId, roots[0], alice.id, ReceiptType.ReadPrivate), null, "alice's private receipt, as bob sees it");
    await alice.until("the second thread to be read", () => unread(alice, roomId, roots[1]) === 0);
    equal(unread(alice, roomId), 1, "unread in the room");

    // What is in no thread has a receipt of its own.
    await alice.client.sendReadReceipt(await alice.seesEvent(roomId, aside), ReceiptType.Read);
    await alice.until("the room to be read", () => unread(alice, roomId) === 0);
    await bob.until("alice's receipt in the room", () => bob.room(roomId).getReadReceiptForUserId(alice.id, true)?.eventId === aside);

    // And one without a thread reads them all.
    await bob.says(roomId, "one more", roots[0]);
    const more = await bob.says(roomId, "one more", roots[1]);
    await alice.until("new counts", () => unread(alice, roomId, roots[0]) === 1 && unread(alice, roomId, roots[1]) === 1);
    await alice.client.sendReadReceipt(await alice.seesEvent(roomId, more), ReceiptType.Read, true);
    await alice.until("all to be read", () => unread(alice, roomId, roots[0]) === 0 && unread(alice, roomId, roots[1]) === 0);

    // A mention counts where it is.
    await bob.client.sendMessage(roomId, roots[0], { "msgtype": "m.text", "body": "alice!", "m.mentions": { user_ids: [alice.id] } });
    await alice.until("the mention", () => unread(alice, roomId, roots[0], "highlight") === 1);
    equal(unread(alice, roomId, undefined, "highlight"), 0, "mentions in the room");
}
