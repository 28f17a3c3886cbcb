// Spaces, directories and what one may know of a room before one is in it.
import { equal, ok } from "./people.mjs";

export async function spaceOfThreeRooms(cue) {
    const [alice, bob] = [await cue("alice"), await cue("bob")];
    await Promise.all([alice.start(), bob.start()]);
    const spaceId = await alice.makesRoom({ name: "Space", creation_content: { type: "m.space" } });
    const names = ["First", "Second", "Third"];
    const roomIds = [];
    for (const [i, name] of names.entries()) {
        const roomId = await alice.makesRoom({ name, topic: `about ${name}` });
        roomIds.push(roomId);
        await alice.client.sendStateEvent(spaceId, "m.space.child", { via: ["causeway.test"], order: `${i}`, suggested: i === 1 }, roomId);
        await alice.client.sendStateEvent(roomId, "m.space.parent", { via: ["causeway.test"], canonical: true }, spaceId);
    }
    const all = await bob.client.getRoomHierarchy(spaceId);
    equal(all.rooms.map((r) => r.room_id), [spaceId, ...roomIds], "the space");
    equal(all.rooms.map((r) => r.name), ["Space", ...names], "names");
    equal(all.rooms[0].room_type, "m.space", "type");
    equal(all.rooms[0].children_state.length, 3, "children");
    const suggested = await bob.client.getRoomHierarchy(spaceId, 10, 5, true);
    equal(suggested.rooms.map((r) => r.room_id), [spaceId, roomIds[1]], "suggested rooms");
    const page = await bob.client.getRoomHierarchy(spaceId, 2);
    equal(page.rooms.length, 2, "a page");
    const rest = await bob.client.getRoomHierarchy(spaceId, 10, undefined, false, page.next_batch);
    equal(rest.rooms.map((r) => r.room_id), roomIds.slice(1), "the next page");

    const summary = await bob.client.getRoomSummary(roomIds[0], ["causeway.test"]);
    equal([summary.room_id, summary.name, summary.num_joined_members], [roomIds[0], "First", 1], "summary");
}

export async function peopleAndRoomsAreFound(cue) {
    const [alice, bob] = [await cue("alice"), await cue("bob")];
    await Promise.all([alice.start(), bob.start()]);
    const word = `zebra${Date.now()}`;
    await bob.client.setDisplayName(`Bob the ${word}`);
    const roomId = await alice.makesRoom({ name: `Room of the ${word}`, visibility: "public" });
    equal((await alice.client.searchUserDirectory({ term: word, limit: 5 })).results, [], "strangers");
    await bob.joins(roomId);
    const { results } = await alice.client.searchUserDirectory({ term: word, limit: 5 });
    equal(results.map((r) => r.user_id), [bob.id], "people");
    const rooms = await bob.client.publicRooms({ filter: { generic_search_term: word }, limit: 5 });
    equal(rooms.chunk.map((r) => r.room_id), [roomId], "rooms");
    equal(await alice.client._unstable_getSharedRooms(bob.id), [roomId], "rooms in common");
    await alice.client.reportRoom(roomId, "a test");
    ok(true, "a report");
}
