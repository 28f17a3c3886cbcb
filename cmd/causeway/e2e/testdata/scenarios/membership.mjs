// Ways into a room and out of it.
import { EventType, JoinRule } from "matrix-js-sdk";
import { equal, fails } from "./people.mjs";

export async function inviteShowsTheRoom(cue) {
    const [alice, bob] = [await cue("alice"), await cue("bob")];
    await Promise.all([alice.start(), bob.start()]);
    const roomId = await alice.makesRoom({ preset: "private_chat", name: "Private" });
    await fails(bob.client.joinRoom(roomId), "M_FORBIDDEN");
    await alice.client.invite(roomId, bob.id);
    await bob.until("the invitation", () => bob.room(roomId)?.getMyMembership() === "invite");
    equal(bob.room(roomId).name, "Private", "the room's name");
    await bob.joins(roomId);
    await alice.until("bob", () => alice.room(roomId).getMember(bob.id)?.membership === "join");
    await bob.leaves(roomId);
    await alice.client.invite(roomId, bob.id);
    await bob.until("another invitation", () => bob.room(roomId).getMyMembership() === "invite");
    await bob.leaves(roomId);
    await alice.until("no", () => alice.room(roomId).getMember(bob.id)?.membership === "leave");
}

export async function knockIsAnswered(cue) {
    const [alice, bob] = [await cue("alice"), await cue("bob")];
    await Promise.all([alice.start(), bob.start()]);
    const roomId = await alice.makesRoom({
        preset: "private_chat",
        name: "Club",
        initial_state: [{ type: EventType.RoomJoinRules, state_key: "", content: { join_rule: JoinRule.Knock } }],
    });
    await bob.client.knockRoom(roomId, { reason: "let me in" });
    await bob.until("the knock", () => bob.room(roomId)?.getMyMembership() === "knock");
    await alice.until("bob's knock", () => alice.room(roomId).getMember(bob.id)?.membership === "knock");
    await alice.client.invite(roomId, bob.id);
    await bob.until("the invitation", () => bob.room(roomId).getMyMembership() === "invite");
    await bob.joins(roomId);
}

export async function restrictedRoomOpensToASpace(cue) {
    const [alice, bob] = [await cue("alice"), await cue("bob")];
    await Promise.all([alice.start(), bob.start()]);
    const spaceId = await alice.makesRoom({ creation_content: { type: "m.space" } });
    const roomId = await alice.makesRoom({
        preset: "private_chat",
        initial_state: [
            {
                type: EventType.RoomJoinRules,
                state_key: "",
                content: { join_rule: JoinRule.Restricted, allow: [{ type: "m.room_membership", room_id: spaceId }] },
            },
        ],
    });
    await fails(bob.client.joinRoom(roomId), "M_FORBIDDEN");
    await bob.joins(spaceId);
    await bob.joins(roomId);
    await alice.client.kick(roomId, bob.id, "out");
    await bob.until("the kick", () => bob.room(roomId).getMyMembership() === "leave");
    await alice.client.ban(roomId, bob.id, "for good");
    await bob.until("the ban", () => bob.room(roomId).getMember(bob.id).membership === "ban");
    await fails(bob.client.joinRoom(roomId), "M_FORBIDDEN");
}

export async function upgradedRoomIsFollowed(cue) {
    const [alice, bob] = [await cue("alice"), await cue("bob")];
    await Promise.all([alice.start(), bob.start()]);
    const roomId = await alice.makesRoom({ name: "Old", room_version: "10" });
    await bob.joins(roomId);
    await alice.client.setRoomTag(roomId, "m.favourite", { order: 0.5 });
    await bob.client.setRoomTag(roomId, "u.work", { order: 0.25 });
    await alice.client.addPushRule("global", "room", roomId, { actions: ["dont_notify"] });
    await bob.until("the tag", () => bob.room(roomId).tags["u.work"]);
    const { replacement_room: newId } = await alice.client.upgradeRoom(roomId, "12");
    await bob.until("the tombstone", () => bob.room(roomId).currentState.getStateEvents(EventType.RoomTombstone, "")?.getContent().replacement_room === newId);
    const room = await bob.joins(newId);
    await bob.until("the name", () => room.name === "Old");
    equal(room.findPredecessor()?.roomId, roomId, "the predecessor");
    await bob.until("the tag in the new room", () => room.tags["u.work"]?.order === 0.25);
    await alice.until("alice's tag in the new room", () => alice.room(newId)?.tags["m.favourite"]?.order === 0.5);
    await alice.until("alice's push rule for the new room", () => alice.client.getRoomPushRule("global", newId));
}

export async function invitationsAreFiltered(cue) {
    const [alice, bob, carol] = [await cue("alice"), await cue("bob"), await cue("carol")];
    await Promise.all([alice.start(), bob.start(), carol.start()]);
    const invites = async (host) => {
        const roomId = await host.makesRoom({ preset: "private_chat" });
        await host.client.invite(roomId, bob.id);
        return roomId;
    };
    // Some are ignored, and do not learn of it; others are refused.
    await bob.client.setAccountData("org.matrix.msc4155.invite_permission_config", { enabled: true, ignored_users: [alice.id] });
    const ignored = await invites(alice);
    const welcome = await invites(carol);
    await bob.until("carol's invitation", () => bob.room(welcome)?.getMyMembership() === "invite");
    equal(bob.room(ignored) ?? null, null, "the invitation that is ignored");
    await bob.client.setAccountData("m.invite_permission_config", { default_action: "block" });
    await fails(invites(carol), "M_INVITE_BLOCKED");
    await bob.client.setAccountData("m.invite_permission_config", {});
    await bob.client.setAccountData("org.matrix.msc4155.invite_permission_config", {});
    const again = await invites(alice);
    await bob.until("alice's invitation", () => bob.room(again)?.getMyMembership() === "invite");
}
