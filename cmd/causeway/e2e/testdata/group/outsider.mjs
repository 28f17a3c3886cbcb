// Somebody who is in a call by a token of the server, and has not the key of it: they get all that the server hands on, as it does.
import { strict as assert } from "node:assert";
import { seats } from "./seats.mjs";

// outsider has somebody come into the call of a room in which are so many others, each with a sound and a picture. All is said to be encrypted, and is:
// of what comes to them nothing can be decrypted.
export async function outsider(folder, who, roomId, others) {
    const { sit, close } = await seats(folder);
    const seat = await sit(who);
    await seat.join({ ...who, roomId, singlePeerConnection: true, key: "a key that nobody else has" });
    const tracks = await seat.tracks(2 * others);
    for (const track of tracks) assert.equal(track.encryption, 1, JSON.stringify(track)); // Encryption_Type.GCM
    const pictures = tracks.filter((track) => track.source === "camera");
    assert.equal(pictures.length, others, JSON.stringify(tracks));
    for (const picture of pictures) await seat.blind(picture.who);
    await seat.heard("encryptionError");
    await seat.leave();
    await close();
}
