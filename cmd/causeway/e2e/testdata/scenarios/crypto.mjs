// What people do who encrypt: they have keys, read what others wrote, compare emojis, and keep their keys in a backup.
import { CryptoEvent, VerificationPhase, VerificationRequestEvent, VerifierEvent } from "matrix-js-sdk/lib/crypto-api/index.js";
import { equal, password } from "./people.mjs";

export const encrypted = [{ type: "m.room.encryption", state_key: "", content: { algorithm: "m.megolm.v1.aes-sha2" } }];

// encrypting has people have keys, and then starts them.
export async function encrypting(...people) {
    await Promise.all(
        people.map(async (person) => {
            await person.client.initRustCrypto({ useIndexedDB: false });
            person.crypto = person.client.getCrypto();
            await person.start();
        }),
    );
    return people;
}

// encryptingOnDisk is encrypting for one whose keys outlive the client: what browsers have for a disk has a stand-in here.
export async function encryptingOnDisk(person) {
    await import("fake-indexeddb/auto");
    await person.client.initRustCrypto({ useIndexedDB: true, cryptoDatabasePrefix: `${person.id} ${person.deviceId}` });
    person.crypto = person.client.getCrypto();
    return person.start();
}

// secretRoom returns the id of a new encrypted room with all of these people in it.
export async function secretRoom(host, ...guests) {
    const invite = [...new Set(guests.map((guest) => guest.id))].filter((id) => id !== host.id);
    const roomId = await host.makesRoom({ preset: "private_chat", invite, initial_state: encrypted });
    for (const guest of guests) {
        await guest.joins(roomId);
    }
    for (const person of [host, ...guests]) {
        await person.until("the room to be encrypted", () => person.room(roomId)?.hasEncryptionStateEvent());
        await person.until("all members", () => invite.every((id) => person.room(roomId).getMember(id)?.membership === "join"));
    }
    return roomId;
}

// settled returns an event once the client has tried to decrypt it, and failed or not.
function settled(person, roomId, eventId) {
    const event = person.event(roomId, eventId);
    return event && !event.isBeingDecrypted() && event.isEncrypted() && (event.getClearContent() || event.isDecryptionFailure()) ? event : undefined;
}

// reads waits until a person can read a message, which must say body.
export async function reads(person, roomId, eventId, body) {
    const event = await person.until(`"${body}" to be read`, () => {
        const found = settled(person, roomId, eventId);
        return found && !found.isDecryptionFailure() && found;
    });
    equal([event.getType(), event.getContent().body], ["m.room.message", body], `what ${person.username} reads`);
    return event;
}

// cannotRead waits until a client has a message, and has given up on it.
export async function cannotRead(person, roomId, eventId) {
    return person.until(`${eventId} not to be read`, () => {
        const found = settled(person, roomId, eventId);
        if (found && !found.isDecryptionFailure()) {
            throw new Error(`${person.username} reads ${JSON.stringify(found.getClearContent())}`);
        }
        return found;
    });
}

// signsKeys makes cross-signing keys for a person, or takes them from the secret storage, and says who it is when the server asks.
export async function signsKeys(person, options = {}) {
    // Keys that there are in the secret storage are taken only by a client that has seen the public ones.
    await person.crypto.userHasCrossSigningKeys();
    await person.crypto.bootstrapCrossSigning({
        authUploadDeviceSigningKeys: async (makeRequest) => {
            try {
                await makeRequest(null);
            } catch (error) {
                if (!error.data?.session) {
                    throw error;
                }
                const identifier = { type: "m.id.user", user: person.username };
                await makeRequest({ type: "m.login.password", identifier, password, session: error.data.session });
            }
        },
        ...options,
    });
}

// keepsSecrets has a person keep all secret keys on the server, behind a recovery key, and begin a backup.
export async function keepsSecrets(person) {
    person.recovery = await person.crypto.createRecoveryKeyFromPassphrase();
    await person.crypto.bootstrapSecretStorage({
        createSecretStorageKey: async () => person.recovery,
        setupNewSecretStorage: true,
        setupNewKeyBackup: true,
    });
    await person.crypto.checkKeyBackupAndEnable();
}

// backsUp waits until a backup has a number of keys, and returns what the server says of it.
export function backsUp(person, count) {
    return person.eventually(`${count} keys in the backup`, async () => {
        const backup = await person.client.http.authedRequest("GET", "/room_keys/version");
        return backup.count === count && backup;
    });
}

// knowsDevices waits until a client knows that a user has these devices, and no others.
export async function knowsDevices(person, userId, ...deviceIds) {
    let known;
    await person
        .eventually("devices", async () => {
            const devices = await person.crypto.getUserDeviceInfo([userId]);
            known = [...(devices.get(userId)?.keys() ?? [])].sort();
            return JSON.stringify(known) === JSON.stringify(deviceIds.sort());
        })
        .catch((error) => {
            throw new Error(`${error.message}: it knows ${known}, want ${deviceIds}`);
        });
}

// trusts waits until a person trusts a device by who signed it.
export function trusts(person, userId, deviceId) {
    return person.eventually(`device ${deviceId} to be trusted`, async () => {
        const status = await person.crypto.getDeviceVerificationStatus(userId, deviceId);
        return status?.crossSigningVerified;
    });
}

// asked waits until somebody wants to verify a person, and returns the request.
export function asked(person) {
    return new Promise((resolve) => person.client.once(CryptoEvent.VerificationRequestReceived, resolve));
}

// phase waits until a request has come so far. The SDK cannot say how far at any time: only when it has just told of a change.
function phase(person, request, wanted) {
    let reached = request.phase;
    request.on(VerificationRequestEvent.Change, () => {
        reached = request.phase;
        person.look();
    });
    return person.until(`phase ${wanted} of the verification`, () => {
        if (reached === VerificationPhase.Cancelled) {
            throw new Error(`cancelled by ${request.cancellingUserId}: ${request.cancellationCode}`);
        }
        return reached >= wanted;
    });
}

// shown waits until a client shows emojis, and returns them with the function that says that they are right.
function shown(person, verifier) {
    verifier.on(VerifierEvent.ShowSas, () => person.look());
    const done = verifier.verify();
    return person
        .until("the emojis", () => verifier.getShowSasCallbacks())
        .then((sas) => ({
            emoji: sas.sas.emoji.map(([symbol]) => symbol).join(" "),
            words: sas.sas.emoji.map(([, word]) => word).join(" "),
            confirm: () => Promise.all([sas.confirm(), done]),
        }));
}

// starts is the side that asked: it waits for the other to accept, and has both show emojis.
export async function starts(person, request) {
    await phase(person, request, VerificationPhase.Ready);
    return shown(person, await request.startVerification("m.sas.v1"));
}

// accepts is the side that was asked.
export async function accepts(person, request) {
    await request.accept();
    await phase(person, request, VerificationPhase.Started);
    const verifier = await person.until("the other to start", () => request.verifier);
    return shown(person, verifier);
}

// compares has two people look at each other's emojis, and agree: first those of whose kind one has to be first.
export async function compares(...sides) {
    const [a, b] = await Promise.all(sides);
    equal(a.emoji, b.emoji, "the emojis");
    await a.first?.();
    await b.first?.();
    await Promise.all([a.confirm(), b.confirm()]);
}
