// check.mjs FILE EXPECTED…: reads a gzipped profile with a reader that others wrote, and compares
// the sums of its values with what was planted, within 5 %. EXPECTED is type=sum, in order.
import { readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import { Profile } from 'pprof-format';

const [file, ...expected] = process.argv.slice(2);
const profile = Profile.decode(gunzipSync(readFileSync(file)));
const text = (index) => profile.stringTable.strings[Number(index)];
const functions = new Map(profile.function.map((f) => [String(f.id), text(f.name)]));
const locations = new Map(profile.location.map((l) => [String(l.id), l]));
let failed = false;

function check(condition, message) {
    if (!condition) {
        console.error(message);
        failed = true;
    }
}

expected.forEach((item, i) => {
    const [type, planted] = item.split('=');
    const sum = profile.sample.reduce((total, sample) => total + Number(sample.value[i]), 0);
    check(text(profile.sampleType[i].type) === type, `value ${i} is not ${type}`);
    check(Math.abs(sum - planted) <= planted / 20, `${type}: ${sum}, not ${planted}`);
    console.log(`${type} ${sum}, planted ${planted}`);
});
check(profile.sampleType.length === expected.length, 'another number of types');
check(profile.mapping.every((m) => text(m.filename) !== ''), 'a mapping without a name');

const named = new Set();
for (const sample of profile.sample) {
    for (const id of sample.locationId) {
        const location = locations.get(String(id));
        check(location !== undefined, `no location ${id}`);
        location?.line.forEach((line) => named.add(functions.get(String(line.functionId))));
    }
    const keys = sample.label.map((label) => text(label.key));
    check(keys.includes('owner') && keys.includes('lifetime'), 'a sample without owner or lifetime');
}
check(named.has('parse_config') && named.has('main'), `only these are named: ${[...named]}`);
process.exit(failed ? 1 : 0);
