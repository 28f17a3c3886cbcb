// Who is who: cross-signing, and emojis that are compared.
import { accepts, asked, backsUp, compares, encrypting, keepsSecrets, knowsDevices, reads, secretRoom, signsKeys, starts, trusts } from "./crypto.mjs";
import { equal, ok } from "./people.mjs";

// verified waits until a person takes another for verified.
function verified(person, other) {
    return person.eventually(`${other.username} to be verified`, async () => {
        const status = await person.crypto.getUserVerificationStatus(other.id);
        return status.isCrossSigningVerified();
    });
}

// verifiesOwnDevice compares emojis on two devices of one person.
async function verifiesOwnDevice(fresh, old) {
    await Promise.all([knowsDevices(fresh, old.id, fresh.deviceId, old.deviceId), knowsDevices(old, old.id, fresh.deviceId, old.deviceId)]);
    const request = asked(old);
    const mine = await fresh.crypto.requestOwnUserVerification();
    await compares(starts(fresh, mine), accepts(old, await request));
}

export async function friendsCompareEmojis(cue) {
    const [alice, bob] = await encrypting(await cue("alice"), await cue("bob"));
    await Promise.all([signsKeys(alice), signsKeys(bob)]);
    const roomId = await secretRoom(alice, bob);
    await reads(bob, roomId, await alice.says(roomId, "who are you?"), "who are you?");
    equal((await alice.crypto.getUserVerificationStatus(bob.id)).isCrossSigningVerified(), false, "bob is verified before");

    const request = asked(bob);
    const mine = await alice.crypto.requestVerificationDM(bob.id, roomId);
    await compares(starts(alice, mine), accepts(bob, await request));
    await Promise.all([verified(alice, bob), verified(bob, alice)]);

    // A device that bob vouches for is trusted by alice without more ado; one that he does not, is not.
    const [phone] = await encrypting(await cue.again(bob));
    await knowsDevices(alice, bob.id, bob.deviceId, phone.deviceId);
    const before = await alice.crypto.getDeviceVerificationStatus(bob.id, phone.deviceId);
    equal(before.crossSigningVerified, false, "the new device is trusted before");
    await verifiesOwnDevice(phone, bob);
    await trusts(alice, bob.id, phone.deviceId);
    // And what bob knows of alice, his phone knows: her keys are signed by his.
    await verified(phone, alice);
}

export async function ownDevicesShareSecrets(cue) {
    const [laptop, bob] = await encrypting(await cue("alice"), await cue("bob"));
    await signsKeys(laptop);
    await keepsSecrets(laptop);
    const roomId = await secretRoom(laptop, bob);
    const said = [[await laptop.says(roomId, "from the laptop"), "from the laptop"]];
    said.push([await bob.says(roomId, "from bob"), "from bob"]);
    for (const message of said) {
        await reads(laptop, roomId, ...message);
    }
    await backsUp(laptop, 2);

    const [phone] = await encrypting(await cue.again(laptop));
    equal(await phone.crypto.isCrossSigningReady(), false, "the phone has the keys before");
    await verifiesOwnDevice(phone, laptop);
    await Promise.all([trusts(laptop, laptop.id, phone.deviceId), trusts(phone, laptop.id, laptop.deviceId)]);
    // The secrets come from the laptop, in messages between the two, with them the key of the backup.
    await phone.eventually("the secret keys", async () => {
        const { privateKeysCachedLocally: keys } = await phone.crypto.getCrossSigningStatus();
        return keys.masterKey && keys.selfSigningKey && keys.userSigningKey;
    });
    await phone.eventually("the key of the backup", () => phone.crypto.getSessionBackupPrivateKey());
    for (const message of said) {
        await reads(phone, roomId, ...message);
    }
}

export async function newIdentityIsNotTakenForTheOld(cue) {
    const [alice, bob] = await encrypting(await cue("alice"), await cue("bob"));
    await Promise.all([signsKeys(alice), signsKeys(bob)]);
    const roomId = await secretRoom(alice, bob);
    const request = asked(bob);
    const mine = await alice.crypto.requestVerificationDM(bob.id, roomId);
    await compares(starts(alice, mine), accepts(bob, await request));
    await verified(alice, bob);

    await signsKeys(bob, { setupNewCrossSigning: true });
    await alice.eventually("bob not to be verified any more", async () => {
        const status = await alice.crypto.getUserVerificationStatus(bob.id);
        return !status.isCrossSigningVerified() && status.wasCrossSigningVerified();
    });
    // Bob has to be asked again, and is himself then.
    const anew = asked(alice);
    const his = await bob.crypto.requestVerificationDM(alice.id, roomId);
    await compares(starts(bob, his), accepts(alice, await anew));
    await Promise.all([verified(alice, bob), verified(bob, alice)]);
    ok(await bob.crypto.isCrossSigningReady(), "bob has his new keys");
}
