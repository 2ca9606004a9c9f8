// Numbers for people.
const UNITS = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];

export function bytes(value) {
    if (value == null || !Number.isFinite(value)) {
        return "–";
    }
    let unit = 0;
    let scaled = value;
    while (Math.abs(scaled) >= 1024 && unit < UNITS.length - 1) {
        scaled /= 1024;
        unit++;
    }
    return `${unit === 0 || Math.abs(scaled) >= 100 ? Math.round(scaled) : scaled.toFixed(1)} ${UNITS[unit]}`;
}

export function count(value) {
    if (value == null || !Number.isFinite(value)) {
        return "–";
    }
    if (Math.abs(value) >= 1e9) {
        return `${(value / 1e9).toFixed(2)} G`;
    }
    if (Math.abs(value) >= 1e6) {
        return `${(value / 1e6).toFixed(2)} M`;
    }
    if (Math.abs(value) >= 1e4) {
        return `${(value / 1e3).toFixed(1)} k`;
    }
    return Number.isInteger(value) ? String(value) : Math.abs(value) >= 100 ? String(Math.round(value)) : value.toPrecision(3);
}

export function percent(part, whole) {
    return whole > 0 && Number.isFinite(part) ? `${((100 * part) / whole).toFixed(1)} %` : "–";
}

export function seconds(value) {
    if (value == null || !Number.isFinite(value)) {
        return "–";
    }
    if (value < 1e-3) {
        return `${(value * 1e6).toFixed(0)} µs`;
    }
    if (value < 1) {
        return `${(value * 1e3).toFixed(1)} ms`;
    }
    if (value < 120) {
        return `${value.toFixed(1)} s`;
    }
    if (value < 7200) {
        return `${(value / 60).toFixed(0)} min`;
    }
    return value < 172800 ? `${(value / 3600).toFixed(1)} h` : `${(value / 86400).toFixed(1)} d`;
}
