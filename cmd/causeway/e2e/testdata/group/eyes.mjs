// What pages in calls see, whatever they are: functions that stand alone, so that they can be put into any page.

// watched notes all connections that the page makes from now on, and gives the list of them.
export function watched() {
    const connections = [];
    window.RTCPeerConnection = class extends RTCPeerConnection {
        constructor(...options) {
            super(...options);
            connections.push(this);
        }
    };
    return connections;
}

// colours is how many there are in a picture: one for a picture that is black, or not there.
export function colours(video) {
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [64, 48];
    const context = canvas.getContext("2d");
    context.drawImage(video, 0, 0, 64, 48);
    const { data } = context.getImageData(0, 0, 64, 48);
    const seen = new Set();
    for (let i = 0; i < data.length; i += 4) seen.add((data[i] << 16) | (data[i + 1] << 8) | data[i + 2]);
    return seen.size;
}
