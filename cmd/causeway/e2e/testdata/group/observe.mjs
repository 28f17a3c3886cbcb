// What is put into a page of Element Call, to see what comes to it.
import { colours, watched } from "./eyes.mjs";

// observe changes nothing of what the page does but for the size of the camera's picture: three people with large ones are too much for a small
// machine. It is given what it uses, for it runs where there is nothing else of this file.
function observe(connections, colours) {
    const camera = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
    navigator.mediaDevices.getUserMedia = (wanted) => {
        const video = wanted.video && { ...(wanted.video === true ? {} : wanted.video), width: 320, height: 180, frameRate: 10 };
        return camera({ ...wanted, video });
    };

    // remote are the pictures of others: one's own is of a device.
    const remote = () => [...document.querySelectorAll("video[data-testid=video]")].filter((v) => {
        const [track] = v.srcObject?.getVideoTracks() ?? [];
        return track && !track.label.startsWith("fake");
    });

    // count gives what has come by now: for each picture its frames, for each voice its energy.
    async function count() {
        const frames = new Map(remote().map((v) => [v, v.getVideoPlaybackQuality().totalVideoFrames]));
        const energy = new Map();
        for (const pc of connections) {
            if (pc.connectionState === "closed") continue;
            for (const s of (await pc.getStats()).values()) {
                if (s.type === "inbound-rtp" && s.kind === "audio") energy.set(s.trackIdentifier, s.totalAudioEnergy ?? 0);
            }
        }
        return { frames, energy };
    }

    // others tells how many pictures move, and how many voices sound, within a while, in milliseconds.
    async function others(while_ = 700) {
        const before = await count();
        await new Promise((resolve) => setTimeout(resolve, while_)); // counters ring no bell
        const now = await count();
        const more = (map, key) => now[map].get(key) > (before[map].get(key) ?? Infinity);
        return {
            pictures: [...now.frames.keys()].filter((v) => more("frames", v) && colours(v) > 10).length,
            voices: [...now.energy.keys()].filter((track) => more("energy", track)).length,
            tiles: document.querySelectorAll("[data-testid=videoTile]").length,
            connections: connections.filter((pc) => pc.connectionState === "connected").length,
        };
    }

    // until waits for them to be so many.
    async function until(wanted) {
        for (;;) {
            const now = await others();
            if (Object.entries(wanted).every(([key, n]) => now[key] === n)) return now;
        }
    }

    window.observed = { others, until };
}

// observing is the text of a script that has a page observe itself: it is to be put in before all others.
export const observing = { content: `(${observe})((${watched})(), ${colours});` };
