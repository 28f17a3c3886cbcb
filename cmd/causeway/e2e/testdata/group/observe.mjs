// What is put into a page of Element Call before anything else, to see what comes to it. It changes nothing of what the page does but for the
// size of the camera's picture: three people with large ones are too much for a small machine.
export function observe() {
    const connections = [];
    window.RTCPeerConnection = class extends RTCPeerConnection {
        constructor(...options) {
            super(...options);
            connections.push(this);
        }
    };
    const camera = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
    navigator.mediaDevices.getUserMedia = (wanted) => {
        const video = wanted.video && { ...(wanted.video === true ? {} : wanted.video), width: 320, height: 180, frameRate: 10 };
        return camera({ ...wanted, video });
    };

    function colours(video) {
        const canvas = document.createElement("canvas");
        [canvas.width, canvas.height] = [64, 48];
        const context = canvas.getContext("2d");
        context.drawImage(video, 0, 0, 64, 48);
        const { data } = context.getImageData(0, 0, 64, 48);
        const seen = new Set();
        for (let i = 0; i < data.length; i += 4) seen.add((data[i] << 16) | (data[i + 1] << 8) | data[i + 2]);
        return seen.size;
    }

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
