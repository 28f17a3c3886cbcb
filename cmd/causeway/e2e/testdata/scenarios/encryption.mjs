// Rooms that the server cannot read.
import { cannotRead, encrypting, encryptingOnDisk, knowsDevices, reads, secretRoom } from "./crypto.mjs";
import { equal, ok } from "./people.mjs";

export async function membersReadEachOther(cue) {
    const [alice, bob] = await encrypting(await cue("alice"), await cue("bob"));
    const [phone] = await encrypting(await cue.again(alice));
    const roomId = await secretRoom(alice, phone, bob);
    const said = [];
    for (const who of [alice, bob, phone, bob, alice]) {
        const body = `${who.deviceId} says number ${said.length}`;
        said.push([await who.says(roomId, body), body]);
    }
    for (const who of [alice, bob, phone]) {
        for (const [eventId, body] of said) {
            await reads(who, roomId, eventId, body);
        }
    }
    // The server has nothing of it.
    for (const [eventId] of said) {
        const raw = await bob.client.fetchRoomEvent(roomId, eventId);
        equal([raw.type, raw.content.algorithm, raw.content.body], ["m.room.encrypted", "m.megolm.v1.aes-sha2", undefined], "what the server has");
    }
}

export async function onlyMembersOfTheTimeRead(cue) {
    const [alice, bob, carol] = await encrypting(await cue("alice"), await cue("bob"), await cue("carol"));
    const roomId = await secretRoom(alice, bob);
    const early = await alice.says(roomId, "before carol came");
    await reads(bob, roomId, early, "before carol came");

    await alice.client.invite(roomId, carol.id);
    await carol.joins(roomId);
    await alice.until("carol", () => alice.room(roomId).getMember(carol.id)?.membership === "join");
    const both = await alice.says(roomId, "to all three");
    await reads(carol, roomId, both, "to all three");
    await reads(bob, roomId, both, "to all three");

    await bob.leaves(roomId);
    await alice.until("bob to be gone", () => alice.room(roomId).getMember(bob.id)?.membership === "leave");
    const without = await alice.says(roomId, "without bob");
    await reads(carol, roomId, without, "without bob");
    // Whoever is in the room now may have all of it from the server, which does not help.
    await alice.client.invite(roomId, bob.id);
    await bob.joins(roomId);
    await alice.until("bob again", () => alice.room(roomId).getMember(bob.id)?.membership === "join");
    const again = await alice.says(roomId, "bob is back");
    await reads(bob, roomId, again, "bob is back");
    for (const [who, eventId] of [[bob, without], [carol, early]]) {
        const timeline = who.room(roomId).getLiveTimeline();
        while (!who.event(roomId, eventId) && (await who.client.paginateEventTimeline(timeline, { backwards: true, limit: 50 }))) {
            ok(timeline.getEvents().length < 500, "more events than there are");
        }
        await cannotRead(who, roomId, eventId);
    }
    await reads(bob, roomId, both, "to all three");
}

export async function clientThatCrashesMissesNoKeys(cue) {
    const [bob] = await encrypting(await cue("bob"));
    const alice = await encryptingOnDisk(await cue("alice"));
    const roomId = await secretRoom(alice, bob);
    const said = [[await bob.says(roomId, "before"), "before"]];
    await reads(alice, roomId, ...said[0]);
    // The client is off. Keys come for it, and it has them from the server; but it crashes before it has stored them.
    const since = alice.client.store.getSyncToken();
    alice.stop();
    const sync = (token) => alice.client.http.authedRequest("GET", "/sync", { since: token, timeout: "0" });
    for (const body of ["one", "two"]) {
        await bob.crypto.forceDiscardSession(roomId);
        said.push([await bob.says(roomId, body), body]);
    }
    const lost = await sync(since);
    equal(lost.to_device.events.map((e) => e.type), ["m.room.encrypted", "m.room.encrypted"], "what came for the device");
    equal((await sync(since)).to_device, lost.to_device, "what comes when it asks again");
    // It begins anew, knows nothing of the room, and has its own keys.
    const again = await encryptingOnDisk(cue.restarted(alice));
    for (const message of said) {
        await reads(again, roomId, ...message);
    }
    said.push([await again.says(roomId, "it is me still"), "it is me still"]);
    await reads(bob, roomId, ...said[3]);
    await knowsDevices(bob, alice.id, alice.deviceId);
    // What it has stored is not sent again.
    again.stop();
    equal((await sync(again.client.store.getSyncToken())).to_device?.events ?? [], [], "what waits after that");
}

// messagesFor returns what waits at the server for a device, before its client has looked.
async function messagesFor(person) {
    const answer = await person.client.http.authedRequest("GET", "/sync", { timeout: "0" });
    return answer.to_device?.events ?? [];
}

export async function deletedDeviceReadsNothingMore(cue) {
    const [alice, bob] = await encrypting(await cue("alice"), await cue("bob"));
    const [tablet] = await encrypting(await cue.again(bob, "TABLET"));
    const roomId = await secretRoom(alice, bob, tablet);
    await knowsDevices(alice, bob.id, bob.deviceId, "TABLET");
    const said = [];
    const says = async (body) => said.push([await alice.says(roomId, body), body]);
    await says("to all devices");
    await reads(tablet, roomId, ...said[0]);

    // The tablet is off. What it was sent waits for it, and then it is signed out while alice goes on talking.
    tablet.stop();
    await alice.crypto.forceDiscardSession(roomId);
    await says("while the tablet is off");
    await reads(bob, roomId, ...said[1]);
    await Promise.all([says("in flight 1"), tablet.client.logout(), says("in flight 2"), alice.crypto.forceDiscardSession(roomId), says("in flight 3")]);
    await knowsDevices(alice, bob.id, bob.deviceId);
    await says("after the tablet");
    for (const [eventId, body] of said) {
        await reads(bob, roomId, eventId, body);
    }

    // Somebody finds the tablet, and signs in under its name: nothing waits, and nothing of before can be read.
    const found = await cue.again(bob, "TABLET");
    equal(await messagesFor(found), [], "what waits for the device of the same name");
    await encrypting(found);
    await knowsDevices(alice, bob.id, bob.deviceId, "TABLET");
    const last = await alice.says(roomId, "to the tablet as it is now");
    await reads(found, roomId, last, "to the tablet as it is now");
    await reads(bob, roomId, last, "to the tablet as it is now");
    for (const [eventId] of said.slice(1)) {
        await cannotRead(found, roomId, eventId);
    }
    // Nor by the one that had the old keys: its token is good for nothing.
    const error = await tablet.client.whoami().catch((e) => e);
    equal(error.errcode, "M_UNKNOWN_TOKEN", "the old token");
}
