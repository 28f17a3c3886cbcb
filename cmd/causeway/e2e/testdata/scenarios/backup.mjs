// Keys that outlive devices.
import { CryptoEvent } from "matrix-js-sdk/lib/crypto-api/index.js";
import { backsUp, cannotRead, encrypting, keepsSecrets, reads, secretRoom, signsKeys, trusts } from "./crypto.mjs";
import { equal, fails, ok } from "./people.mjs";

export async function backupIsRestoredOnANewLogin(cue) {
    const [alice, bob] = await encrypting(await cue("alice"), await cue("bob"));
    await signsKeys(alice);
    await keepsSecrets(alice);
    const said = [];
    for (const name of ["one", "two", "three"]) {
        const roomId = await secretRoom(alice, bob);
        for (const who of [alice, bob]) {
            const body = `${who.username} in room ${name}`;
            const eventId = await who.says(roomId, body);
            await reads(alice, roomId, eventId, body);
            said.push([roomId, eventId, body]);
        }
    }
    const { version, count, etag } = await backsUp(alice, 6);
    await alice.client.logout(true);

    const [fresh] = await encrypting(await cue.again(alice));
    await cannotRead(fresh, said[0][0], said[0][1]);
    fresh.recovery = alice.recovery;
    await fresh.crypto.loadSessionBackupPrivateKeyFromSecretStorage();
    const restored = await fresh.crypto.restoreKeyBackup();
    equal([restored.total, restored.imported], [6, 6], "what was restored");
    for (const message of said) {
        await reads(fresh, ...message);
    }
    // Restoring changes nothing, and what was restored is not new to the backup.
    const after = await fresh.client.http.authedRequest("GET", "/room_keys/version");
    equal([after.version, after.count, after.etag], [version, count, etag], "the backup");
    // The device is made one of alice's own with the secrets, and backs up what it says.
    await signsKeys(fresh);
    await trusts(fresh, fresh.id, fresh.deviceId);
    await fresh.crypto.checkKeyBackupAndEnable();
    const [roomId] = said[0];
    const last = await fresh.says(roomId, "from the new device");
    await reads(bob, roomId, last, "from the new device");
    ok((await backsUp(fresh, 7)).etag !== etag, "the etag is another");
}

export async function withoutTheKeyTheBackupIsOfNoUse(cue) {
    const [alice, bob] = await encrypting(await cue("alice"), await cue("bob"));
    await signsKeys(alice);
    await keepsSecrets(alice);
    const roomId = await secretRoom(alice, bob);
    const eventId = await bob.says(roomId, "for alice");
    await reads(alice, roomId, eventId, "for alice");
    await backsUp(alice, 1);
    // Bob's backup is another: of alice's he gets nothing, and she nothing of his.
    await fails(bob.client.http.authedRequest("GET", "/room_keys/version"), "M_NOT_FOUND");
    await fails(bob.client.http.authedRequest("GET", "/room_keys/keys", { version: "1" }), "M_NOT_FOUND");
    // Who knows the password and not the recovery key has the backup, and reads nothing.
    const [thief] = await encrypting(await cue.again(alice));
    const { rooms } = await thief.client.http.authedRequest("GET", "/room_keys/keys", { version: "1" });
    const [session] = Object.values(rooms[roomId].sessions);
    equal(Object.keys(session.session_data).sort(), ["ciphertext", "ephemeral", "mac"], "what the server has of a key");
    await cannotRead(thief, roomId, eventId);
}

export async function newBackupTakesThePlaceOfTheOld(cue) {
    const [alice, bob] = await encrypting(await cue("alice"), await cue("bob"));
    await signsKeys(alice);
    await keepsSecrets(alice);
    const roomId = await secretRoom(alice, bob);
    await alice.says(roomId, "one");
    const old = await backsUp(alice, 1);
    // Another client of alice's begins a backup that this one does not trust, and is told at its next upload.
    const failed = new Promise((resolve) => alice.client.once(CryptoEvent.KeyBackupFailed, resolve));
    const { version } = await alice.client.http.authedRequest("POST", "/room_keys/version", undefined, {
        algorithm: "m.megolm_backup.v1.curve25519-aes-sha2",
        auth_data: { public_key: "hSDwCYkwp1R0i33ctD73Wg2/Og0mOBr066SpjqqbTmo" },
    });
    ok(version !== old.version, "the version is another");
    const theirs = await bob.says(roomId, "two");
    await reads(alice, roomId, theirs, "two");
    equal(await failed, "M_WRONG_ROOM_KEYS_VERSION", "why the upload failed");
    // Alice puts an end to that: all backups go, and there is one of her own, with all keys.
    await alice.crypto.resetKeyBackup();
    const fresh = await backsUp(alice, 2);
    ok(fresh.version !== version && fresh.version !== old.version, "the version is a third one");
    for (const gone of [old.version, version]) {
        await fails(alice.client.http.authedRequest("GET", `/room_keys/version/${gone}`), "M_NOT_FOUND");
    }
}
