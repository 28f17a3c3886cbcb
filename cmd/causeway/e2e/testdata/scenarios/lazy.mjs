// Members that are loaded when they are needed.
import { equal, ok } from "./people.mjs";

export async function membersAreLoadedLazily(cue) {
    const alice = await cue("alice");
    await alice.start();
    const roomId = await alice.makesRoom({ name: "Crowd" });
    const crowd = [];
    for (let i = 0; i < 12; i++) {
        const one = await cue("member");
        await one.client.joinRoom(roomId);
        crowd.push(one);
    }
    for (let i = 0; i < 25; i++) {
        await alice.says(roomId, `line ${i}`);
    }
    const said = await crowd[3].says(roomId, "here I am");

    const bob = await cue("bob");
    await bob.client.joinRoom(roomId);
    await bob.start({ lazyLoadMembers: true, initialSyncLimit: 5 });
    const room = bob.room(roomId);
    await bob.seesEvent(roomId, said);
    equal(room.getJoinedMemberCount(), 14, "the count of the summary");
    ok(room.getMember(crowd[3].id)?.name, "the sender of a message");
    ok(room.getMember(bob.id), "oneself");
    const known = room.getJoinedMembers().length;
    ok(known < 14, `${known} members without being asked for`);
    await room.loadMembersIfNeeded();
    equal(room.getJoinedMembers().length, 14, "members");
    // Who speaks later comes with what they say.
    const later = await crowd[7].says(roomId, "and I");
    await bob.seesEvent(roomId, later);
    ok(room.getMember(crowd[7].id)?.name, "a later sender");
}
