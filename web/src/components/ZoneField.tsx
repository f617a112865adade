import type { ReactNode } from 'react';
import { knownZone, zoneName } from '../lib/time';
import { Field } from '../ui/Field';

const ZONES = typeof Intl.supportedValuesOf === 'function' ? Intl.supportedValuesOf('timeZone') : ['UTC'];

/** A time zone by its IANA name. */
export function ZoneField({
  label,
  value,
  onChange,
  help,
}: {
  label: string;
  value: string;
  onChange: (zone: string) => void;
  help?: ReactNode;
}) {
  const known = knownZone(value);
  const zones = ZONES.includes(value) || !known ? ['UTC', ...ZONES] : ['UTC', value, ...ZONES];
  return (
    <Field label={label} help={help} wrong={known ? undefined : 'This zone is not known.'}>
      {(props) => (
        <select
          {...props}
          className="input lg"
          value={value}
          onChange={(event) => onChange(event.target.value)}
        >
          {!known && <option value={value}>{value}</option>}
          {[...new Set(zones)].map((zone) => (
            <option key={zone} value={zone}>
              {zone === value ? `${zone} (${zoneName(zone)})` : zone}
            </option>
          ))}
        </select>
      )}
    </Field>
  );
}
