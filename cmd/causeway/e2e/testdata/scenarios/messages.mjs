// Messages, and what is said about them: edits, reactions, replies, redactions, search.
import { Direction, EventType, RelationType } from "matrix-js-sdk";
import { equal, fails, ok } from "./people.mjs";

async function two(cue) {
    const [alice, bob] = [await cue("alice"), await cue("bob")];
    await Promise.all([alice.start(), bob.start()]);
    const roomId = await alice.makesRoom();
    await bob.joins(roomId);
    return { alice, bob, roomId };
}

export async function editIsShownInPlace(cue) {
    const { alice, bob, roomId } = await two(cue);
    const eventId = await alice.says(roomId, "helo");
    await bob.seesEvent(roomId, eventId);
    await alice.client.sendEvent(roomId, EventType.RoomMessage, {
        "msgtype": "m.text",
        "body": "* hello",
        "m.new_content": { msgtype: "m.text", body: "hello" },
        "m.relates_to": { rel_type: RelationType.Replace, event_id: eventId },
    });
    await bob.until("the edit", () => bob.event(roomId, eventId).getContent().body === "hello");

    // Who comes later gets it with the event, bundled.
    const carol = await cue("carol");
    await carol.client.joinRoom(roomId);
    await carol.start();
    await carol.until("the edited message", () => carol.event(roomId, eventId)?.getContent().body === "hello");
    const raw = await carol.client.fetchRoomEvent(roomId, eventId);
    equal(raw.content.body, "helo", "the original's own text");
    equal(raw.unsigned["m.relations"]["m.replace"].content["m.new_content"].body, "hello", "the bundled edit");
}

export async function reactionIsCountedOnce(cue) {
    const { alice, bob, roomId } = await two(cue);
    const eventId = await alice.says(roomId, "lunch?");
    await bob.seesEvent(roomId, eventId);
    const reaction = { "m.relates_to": { rel_type: RelationType.Annotation, event_id: eventId, key: "👍" } };
    const { event_id: reactionId } = await bob.client.sendEvent(roomId, EventType.Reaction, reaction);
    await alice.until("the reaction", () => {
        const relations = alice.room(roomId).relations.getChildEventsForEvent(eventId, RelationType.Annotation, EventType.Reaction);
        return relations?.getSortedAnnotationsByKey()?.[0]?.[1].size === 1;
    });
    await fails(bob.client.sendEvent(roomId, EventType.Reaction, reaction), "M_DUPLICATE_ANNOTATION");
    const { events } = await alice.client.relations(roomId, eventId, RelationType.Annotation, EventType.Reaction);
    equal(events.map((e) => e.getId()), [reactionId], "relations");

    await bob.client.redactEvent(roomId, reactionId);
    await alice.until("the reaction to go", () => alice.event(roomId, reactionId)?.isRedacted());
    const after = await alice.client.relations(roomId, eventId, RelationType.Annotation, EventType.Reaction);
    equal(after.events.length, 0, "relations after the redaction");
}

export async function replyNamesItsMessage(cue) {
    const { alice, bob, roomId } = await two(cue);
    const eventId = await alice.says(roomId, "who comes?");
    await bob.seesEvent(roomId, eventId);
    const { event_id: replyId } = await bob.client.sendMessage(roomId, {
        "msgtype": "m.text",
        "body": "I do",
        "m.relates_to": { "m.in_reply_to": { event_id: eventId } },
        "m.mentions": { user_ids: [alice.id] },
    });
    const reply = await alice.seesEvent(roomId, replyId);
    equal(reply.replyEventId, eventId, "what the reply is to");
    await alice.until("the mention", () => alice.room(roomId).getUnreadNotificationCount("highlight") === 1);
}

export async function redactionEmptiesTheMessage(cue) {
    const { alice, bob, roomId } = await two(cue);
    const eventId = await alice.says(roomId, "secret");
    const { event_id: second } = await alice.client.sendEvent(roomId, EventType.RoomMessage, { msgtype: "m.text", body: "secret too" });
    await bob.seesEvent(roomId, second);
    await alice.client.redactEvent(roomId, eventId, undefined, { reason: "a slip" });
    await bob.until("the redaction", () => bob.event(roomId, eventId).isRedacted());
    // The other way: a redaction is an event like any other.
    await alice.client.http.authedRequest(
        "PUT",
        `/rooms/${encodeURIComponent(roomId)}/send/m.room.redaction/${alice.client.makeTxnId()}`,
        undefined,
        { redacts: second },
    );
    await bob.until("the second redaction", () => bob.event(roomId, second).isRedacted());
    const raw = await bob.client.fetchRoomEvent(roomId, eventId);
    equal(raw.content, {}, "the content");
    equal(raw.unsigned.redacted_because.content.reason, "a slip", "the reason");
    // Others may not.
    const third = await alice.says(roomId, "mine");
    await fails(bob.client.redactEvent(roomId, third), "M_FORBIDDEN");
}

export async function searchFindsWords(cue) {
    const { alice, bob, roomId } = await two(cue);
    const wanted = await alice.says(roomId, "The quick brown fox jumps");
    await alice.says(roomId, "over the lazy dog");
    const secret = await bob.makesRoom({ preset: "private_chat" });
    await bob.says(secret, "The fox of bob alone");
    const found = await alice.client.searchRoomEvents({ term: "FOX" });
    equal(found.count, 1, "count");
    equal(found.results[0].context.getEvent().getId(), wanted, "the hit");
    ok(found.highlights.some((word) => word.toLowerCase() === "fox"), `highlights: ${found.highlights}`);
    equal((await bob.client.searchRoomEvents({ term: "fox" })).count, 2, "bob's count");
    await alice.client.redactEvent(roomId, wanted);
    equal((await alice.client.searchRoomEvents({ term: "fox" })).count, 0, "count after the redaction");
}

export async function oldMessagesArePagedBack(cue) {
    const alice = await cue("alice");
    await alice.start({ initialSyncLimit: 5 });
    const roomId = await alice.makesRoom();
    const sent = [];
    for (let i = 0; i < 60; i++) {
        sent.push(await alice.says(roomId, `message ${i}`));
    }
    const bob = await cue("bob");
    await bob.client.joinRoom(roomId);
    await bob.start({ initialSyncLimit: 5 });
    const timeline = bob.room(roomId).getLiveTimeline();
    while (await bob.client.paginateEventTimeline(timeline, { backwards: true, limit: 20 })) {
        ok(timeline.getEvents().length < 200, "more events than there are");
    }
    const seen = timeline.getEvents().filter((e) => e.getType() === EventType.RoomMessage).map((e) => e.getId());
    equal(seen, sent, "the messages");

    const middle = alice.event(roomId, sent[30]) ?? { getTs: () => 0 };
    const { timestamp } = await alice.client.fetchRoomEvent(roomId, sent[30]).then((e) => ({ timestamp: e.origin_server_ts }));
    ok(middle, "the event");
    const nearest = await alice.client.timestampToEvent(roomId, timestamp, Direction.Forward);
    ok(sent.includes(nearest.event_id), `${nearest.event_id} is none of the messages`);
    const context = await alice.client.getEventTimeline(bob.room(roomId).getUnfilteredTimelineSet(), sent[30]).catch((e) => e);
    ok(!(context instanceof Error), String(context));
}
