// Clients that were away, and what they have missed.
import { Direction, EventType } from "matrix-js-sdk";
import { equal, ok } from "./people.mjs";

// bodies are the texts of a timeline, as far as a client has it.
function bodies(timeline) {
    return timeline
        .getEvents()
        .filter((e) => e.getType() === EventType.RoomMessage)
        .map((e) => e.getContent().body);
}

// sleeps makes a client stop, and returns what makes it go on from where it was.
function sleeps(person) {
    const { client } = person;
    const nextBatch = client.store.getSyncToken();
    client.stopClient();
    return (options) => {
        // What a client keeps on its disk is the token, too; the rooms of this one have stayed in memory.
        client.store.getSavedSyncToken = async () => nextBatch;
        client.store.getSavedSync = async () => ({ nextBatch, accountData: [], roomsData: {} });
        return person.start(options);
    };
}

export async function gapIsPagedBack(cue) {
    const [alice, bob] = [await cue("alice"), await cue("bob")];
    await Promise.all([alice.start(), bob.start({ initialSyncLimit: 5 })]);
    const roomId = await alice.makesRoom();
    await bob.joins(roomId);
    const want = [];
    const say = async (body) => {
        want.push(body);
        return alice.says(roomId, body);
    };
    await bob.seesEvent(roomId, await say("before"));
    // Bob's client asks the server for what it knows, and for no more than five events: it is the filter that makes the gap.
    const from = bob.client.store.getSyncToken();
    bob.stop();
    for (let i = 0; i < 40; i++) {
        await say(`while bob was away ${i}`);
    }
    const filter = JSON.stringify({ room: { timeline: { limit: 5 } } });
    const answer = await bob.client.http.authedRequest("GET", "/sync", { since: from, filter, timeout: "0" });
    const { timeline } = answer.rooms.join[roomId];
    equal([timeline.limited, timeline.events.length], [true, 5], "the answer with a gap");
    // Back through the gap, from prev_batch to where the client was: to is the last token of before.
    const found = timeline.events.slice();
    for (let at = timeline.prev_batch; at; ) {
        const page = await bob.client.http.authedRequest("GET", `/rooms/${encodeURIComponent(roomId)}/messages`, { from: at, to: from, dir: "b", limit: "7" });
        ok(page.chunk.length <= 7, `a page of ${page.chunk.length} events`);
        found.unshift(...page.chunk.toReversed());
        at = page.end;
    }
    equal(found.map((e) => e.content.body), want.slice(1), "what bob has missed");
    // Forward from where the client was, it is the same.
    const forward = [];
    for (let at = from; at; ) {
        const page = await bob.client.http.authedRequest("GET", `/rooms/${encodeURIComponent(roomId)}/messages`, { from: at, dir: "f", limit: "9" });
        forward.push(...page.chunk);
        at = page.end;
    }
    equal(forward.map((e) => e.content.body), want.slice(1), "what bob has missed, forward");
}

export async function clientComesBackAfterALongTime(cue) {
    const [alice, bob, carol] = [await cue("alice"), await cue("bob"), await cue("carol")];
    const lazily = { lazyLoadMembers: true, initialSyncLimit: 5 };
    await Promise.all([alice.start(), bob.start(lazily), carol.start()]);
    const roomId = await alice.makesRoom({ name: "Before" });
    await bob.joins(roomId);
    await carol.joins(roomId);
    const left = await alice.makesRoom({ name: "Left" });
    await bob.joins(left);
    await bob.seesEvent(roomId, await alice.says(roomId, "good night"));

    const wakes = sleeps(bob);
    await alice.client.setRoomName(roomId, "During");
    await alice.client.setRoomName(roomId, "After");
    const want = [];
    for (let i = 0; i < 30; i++) {
        want.push(`line ${i}`);
        await alice.says(roomId, want.at(-1));
    }
    const mention = { "msgtype": "m.text", "body": "bob?", "m.mentions": { user_ids: [bob.id] } };
    await carol.client.sendMessage(roomId, mention);
    await alice.client.kick(left, bob.id, "too quiet");
    const joined = await alice.makesRoom({ preset: "private_chat", name: "New" });
    await alice.client.invite(joined, bob.id);

    await wakes(lazily);
    const room = bob.room(roomId);
    await bob.until("the newest message", () => bodies(room.getLiveTimeline()).at(-1) === "bob?");
    await bob.until("the name", () => room.name === "After");
    await bob.until("the room that bob was removed from", () => bob.room(left)?.getMyMembership() === "leave");
    await bob.until("the invitation", () => bob.room(joined)?.getMyMembership() === "invite");
    await bob.until("the counts", () => room.getUnreadNotificationCount("total") === 32 && room.getUnreadNotificationCount("highlight") === 1);
    ok(room.getMember(carol.id)?.name, "who has spoken last");
    const atOnce = bodies(room.getLiveTimeline()).length;
    ok(atOnce < 31, `${atOnce} messages at once`);
    // Back through the gap, until it meets what the client had before: that is a timeline of its own.
    const timeline = room.getLiveTimeline();
    const earlier = () => timeline.getNeighbouringTimeline(Direction.Backward);
    for (let pages = 0; !earlier(); pages++) {
        ok(pages < 10, `${pages} pages, and the gap is not closed`);
        await bob.client.paginateEventTimeline(timeline, { backwards: true, limit: 10 });
    }
    equal([...bodies(earlier()), ...bodies(timeline)], ["good night", ...want, "bob?"], "all messages");
}
