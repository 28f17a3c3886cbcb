// Sliding sync, by the SDK's own client for it.
import { SlidingSync, SlidingSyncEvent } from "matrix-js-sdk/lib/sliding-sync.js";
import { equal, ok } from "./people.mjs";

const state = [
    ["m.room.name", ""],
    ["m.room.join_rules", ""],
    ["m.room.create", ""],
    ["m.room.member", "$ME"],
    ["m.room.member", "$LAZY"],
];

export async function slidingSyncShowsAWindow(cue) {
    const [alice, bob] = [await cue("alice"), await cue("bob")];
    const rooms = [];
    for (let i = 0; i < 12; i++) {
        const { room_id: roomId } = await alice.client.createRoom({ preset: "public_chat", name: `Room ${i}` });
        rooms.push(roomId);
        await alice.says(roomId, `hello from ${i}`);
    }
    const lists = new Map([["rooms", { ranges: [[0, 4]], timeline_limit: 3, required_state: state }]]);
    const sliding = new SlidingSync(alice.client.baseUrl, lists, { timeline_limit: 10, required_state: state }, alice.client, 2000);
    const seen = new Map();
    sliding.on(SlidingSyncEvent.RoomData, (roomId, data) => {
        seen.set(roomId, [...(seen.get(roomId) ?? []), data]);
    });
    await alice.client.startClient({ slidingSync: sliding });
    await alice.until("the window", () => [...seen.keys()].length === 5 && rooms.slice(7).every((id) => alice.room(id)));
    equal(sliding.getListData("rooms").joinedCount, 12, "the list's count");
    equal([...seen.keys()].sort(), rooms.slice(7).sort(), "the newest rooms");

    // A message brings an old room into the window.
    await bob.client.joinRoom(rooms[0]);
    const said = await bob.says(rooms[0], "wake up");
    await alice.until("the old room", () => alice.event(rooms[0], said));
    equal(alice.room(rooms[0]).name, "Room 0", "its name");

    // A subscription shows a room that is in no window.
    ok(!alice.room(rooms[2])?.getLiveTimeline().getEvents().length, "a room outside of the window");
    sliding.modifyRoomSubscriptions(new Set([rooms[2]]));
    await alice.until("the subscription", () => alice.room(rooms[2])?.getLiveTimeline().getEvents().length > 1);

    // The whole list, when it is asked for.
    sliding.setListRanges("rooms", [[0, 20]]);
    await alice.until("all rooms", () => rooms.every((id) => alice.room(id)));
    // Account data and receipts come in extensions.
    await alice.client.setAccountData("com.example.slide", { here: true });
    await alice.until("account data", () => alice.client.getAccountData("com.example.slide")?.getContent().here);
    await bob.client.sendTyping(rooms[0], true, 20_000);
    await alice.until("typing", () => alice.room(rooms[0]).getMember(bob.id)?.typing);
    sliding.stop();
}

export async function slidingSyncBringsInvitations(cue) {
    const [alice, bob] = [await cue("alice"), await cue("bob")];
    const lists = new Map([["rooms", { ranges: [[0, 20]], timeline_limit: 1, required_state: state }]]);
    const sliding = new SlidingSync(bob.client.baseUrl, lists, { timeline_limit: 1, required_state: state }, bob.client, 2000);
    await bob.client.startClient({ slidingSync: sliding });
    const { room_id: roomId } = await alice.client.createRoom({ preset: "private_chat", name: "Invited", invite: [bob.id] });
    await bob.until("the invitation", () => bob.room(roomId)?.getMyMembership() === "invite");
    equal(bob.room(roomId).name, "Invited", "the room's name");
    await bob.client.joinRoom(roomId);
    await bob.until("the room", () => bob.room(roomId).getMyMembership() === "join");
    const said = await alice.says(roomId, "welcome");
    await bob.seesEvent(roomId, said);
    sliding.stop();
}
