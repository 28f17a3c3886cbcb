// Rooms that the server cannot read.
import { cannotRead, encrypting, reads, secretRoom } from "./crypto.mjs";
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
