// Objects, buffers, text and worker threads. Prints digests.
const crypto = require('crypto');
const zlib = require('zlib');
const { Worker, isMainThread, parentPort, workerData } = require('worker_threads');

const digest = (value) =>
  crypto.createHash('sha256').update(JSON.stringify(value)).digest('hex').slice(0, 16);

function work(seed) {
  const table = new Map();
  let state = seed;
  for (let step = 0; step < 100000; step++) {
    state = (state * 1103515245 + 12345) % 2147483648;
    table.set(`key ${state % 20000}`, { step, text: 'x'.repeat(step % 50) });
    if (step % 3 === 0) table.delete(`key ${step % 20000}`);
  }
  const buffers = [];
  for (let i = 0; i < 2000; i++) buffers.push(Buffer.alloc((i % 100) * 100, i % 256));
  const packed = zlib.gzipSync(Buffer.concat(buffers), { level: 6 });
  return digest([[...table].slice(0, 1000), zlib.gunzipSync(packed).length]);
}

if (isMainThread) {
  console.log('main', work(1));
  const results = [2, 3, 4].map((seed) => new Promise((resolve, reject) => {
    new Worker(__filename, { workerData: seed }).on('message', resolve).on('error', reject);
  }));
  Promise.all(results).then((all) => console.log('workers', all.join(' ')));
} else {
  parentPort.postMessage(work(workerData));
}
