// matrix-js-sdk, whose encryption is in Rust, and mautrix-go, whose encryption is in Go.
import { accepts, asked, backsUp, cannotRead, compares, encrypted, encrypting, keepsSecrets, knowsDevices, reads, secretRoom, signsKeys, starts, trusts } from "./crypto.mjs";
import { equal, ok } from "./people.mjs";

// together returns alice with a client of the one kind and gary with one of the other, in an encrypted room of alice's.
async function together(cue) {
    const [alice] = await encrypting(await cue("alice"));
    const gary = await cue.gopher(await cue("gary"));
    const roomId = await alice.makesRoom({ preset: "private_chat", invite: [gary.id], initial_state: encrypted });
    await gary.joins(roomId);
    await alice.until("gary", () => alice.room(roomId).getMember(gary.id)?.membership === "join");
    await gary.knowsMembers(roomId, alice.id, gary.id);
    return { alice, gary, roomId };
}

// agree has both understand each other.
async function agree(alice, gary, roomId, when) {
    const [hers, his] = [`alice ${when}`, `gary ${when}`];
    const [one, two] = [await alice.says(roomId, hers), await gary.says(roomId, his)];
    await gary.reads(roomId, one, hers);
    await gary.reads(roomId, two, his);
    await reads(alice, roomId, one, hers);
    await reads(alice, roomId, two, his);
}

export async function goAndRustReadEachOther(cue) {
    const { alice, gary, roomId } = await together(cue);
    await agree(alice, gary, roomId, "in alice's room");
    // The same in a room of gary's, with another device of each.
    const [phone] = await encrypting(await cue.again(alice));
    const second = await cue.gopher(gary.person);
    const { room_id: his } = await gary.do("createRoom", { invite: [alice.id] });
    await Promise.all([alice.joins(his), phone.until("gary's room", () => phone.room(his)?.hasEncryptionStateEvent())]);
    await Promise.all([gary.knowsMembers(his, alice.id, gary.id), second.knowsMembers(his, alice.id, gary.id)]);
    await Promise.all([gary.knowsDevices(alice.id, alice.deviceId, phone.deviceId), knowsDevices(alice, gary.id, gary.deviceId, second.deviceId)]);
    await agree(alice, second, his, "in gary's room");
    await agree(phone, gary, his, "at other devices");
    const last = await second.says(his, "to all four");
    await Promise.all([reads(alice, his, last, "to all four"), reads(phone, his, last, "to all four"), gary.reads(his, last, "to all four")]);
}

export async function goDoesNotReadWhatIsNotForIt(cue) {
    const { alice, gary, roomId } = await together(cue);
    await agree(alice, gary, roomId, "before");
    // A device of gary's comes, which was not there then; and one of alice's.
    const late = await cue.gopher(gary.person);
    await knowsDevices(alice, gary.id, gary.deviceId, late.deviceId);
    const now = await alice.says(roomId, "to both devices");
    await late.reads(roomId, now, "to both devices");
    const secret = await alice.makesRoom({ preset: "public_chat", initial_state: encrypted });
    const alone = await alice.says(secret, "to nobody");
    await gary.joins(secret);
    await alice.until("gary", () => alice.room(secret).getMember(gary.id)?.membership === "join");
    const both = await alice.says(secret, "to gary");
    await gary.reads(secret, both, "to gary");
    await gary.cannotRead(secret, alone);
    // One device is deleted while alice talks: what comes after is for the other alone.
    const [, ...said] = await Promise.all([late.do("logout"), alice.says(roomId, "in flight 1"), alice.says(roomId, "in flight 2")]);
    await knowsDevices(alice, gary.id, gary.deviceId);
    await gary.reads(roomId, said[0], "in flight 1");
    await gary.reads(roomId, said[1], "in flight 2");
    await gary.reads(roomId, await alice.says(roomId, "after"), "after");
    // Gary's own client stops encrypting for alice's device when that goes.
    const [phone] = await encrypting(await cue.again(alice));
    await gary.knowsDevices(alice.id, alice.deviceId, phone.deviceId);
    await reads(phone, roomId, await gary.says(roomId, "to the phone, too"), "to the phone, too");
    await phone.client.logout(true);
    await gary.knowsDevices(alice.id, alice.deviceId);
    const [fresh] = await encrypting(await cue.again(alice));
    await gary.knowsDevices(alice.id, alice.deviceId, fresh.deviceId);
    const last = await gary.says(roomId, "to the new phone");
    await reads(fresh, roomId, last, "to the new phone");
    await cannotRead(fresh, roomId, said[1]);
}

// words are the emojis of a side of matrix-js-sdk by their names, as mautrix-go has them.
const words = async (side) => ({ ...(await side), emoji: (await side).words });

export async function goAndRustCompareEmojis(cue) {
    const { alice, gary, roomId } = await together(cue);
    await signsKeys(alice);
    await gary.do("signKeys");
    await gary.eventually("the keys of alice to be known", async () => (await gary.do("trust", { user_id: alice.id })).known);
    await agree(alice, gary, roomId, "before");
    equal((await gary.do("trust", { user_id: alice.id })).user, false, "alice is trusted before");
    // Alice asks. mautrix-go v0.31.0 loses the thread of verifications in rooms, so it is one between devices.
    const mine = await alice.crypto.requestDeviceVerification(gary.id, gary.deviceId);
    await compares(words(starts(alice, mine)), gary.accepts());
    await alice.eventually("gary to be verified", async () => (await alice.crypto.getUserVerificationStatus(gary.id)).isCrossSigningVerified());
    await gary.eventually("alice to be verified", async () => (await gary.do("trust", { user_id: alice.id })).user);
    await trusts(alice, gary.id, gary.deviceId);
    equal((await gary.do("trust", { user_id: alice.id, device_id: alice.deviceId })).device, "verified", "alice's device, as gary sees it");
    await agree(alice, gary, roomId, "after");
}

export async function goAsksRust(cue) {
    const { alice, gary, roomId } = await together(cue);
    await signsKeys(alice);
    await gary.do("signKeys");
    await gary.eventually("the keys of alice to be known", async () => (await gary.do("trust", { user_id: alice.id })).known);
    await agree(alice, gary, roomId, "before");
    const request = asked(alice);
    const his = gary.asks(alice.id);
    await compares(his, words(accepts(alice, await request)));
    await alice.eventually("gary to be verified", async () => (await alice.crypto.getUserVerificationStatus(gary.id)).isCrossSigningVerified());
    await gary.eventually("alice to be verified", async () => (await gary.do("trust", { user_id: alice.id })).user);
}

export async function goRestoresTheBackupOfRust(cue) {
    const [alice, bob] = await encrypting(await cue("alice"), await cue("bob"));
    await signsKeys(alice);
    await keepsSecrets(alice);
    const roomId = await secretRoom(alice, bob);
    const said = [];
    for (const who of [alice, bob]) {
        const body = `${who.username} before`;
        said.push([await who.says(roomId, body), body]);
        await reads(alice, roomId, ...said.at(-1));
    }
    const { version } = await backsUp(alice, 2);
    const gopher = await cue.gopher(alice);
    for (const [eventId] of said) {
        await gopher.cannotRead(roomId, eventId);
    }
    const restored = await gopher.do("recover", { recovery_key: alice.recovery.encodedPrivateKey });
    equal(restored.backup, version, "the version that was restored");
    for (const message of said) {
        await gopher.reads(roomId, ...message);
    }
    // With the secrets it is one of alice's own devices, and known for that by the others.
    await trusts(alice, alice.id, gopher.deviceId);
    await gopher.knowsMembers(roomId, alice.id, bob.id);
    const now = await gopher.says(roomId, "alice after");
    await reads(bob, roomId, now, "alice after");
    await reads(alice, roomId, now, "alice after");
    ok((await alice.crypto.getDeviceVerificationStatus(alice.id, gopher.deviceId)).signedByOwner, "the device is signed by its owner");
}
