/** The list of devices, everywhere it occurs: worst first, filter, chips, the age of each value. */
import { type UseQueryResult, useQueryClient } from '@tanstack/react-query';
import { Link, useNavigate } from '@tanstack/react-router';
import { Columns3, Download } from 'lucide-react';
import { type ReactNode, useDeferredValue, useMemo, useState } from 'react';
import { updateMe } from '../api/changes';
import { say } from '../api/client';
import { preferencesOf } from '../api/preferences';
import type { DeviceList, DeviceRow, State } from '../api/types';
import { csv, download } from '../lib/csv';
import { rank } from '../lib/find';
import { byAddress, natural } from '../lib/natural';
import { countStates, isState, STATE_RANK, STATE_WORD, stateWhy } from '../lib/state';
import { count, milliseconds, percent, plural } from '../lib/units';
import { Changing } from '../ui/Changing';
import { copyText } from '../ui/CopyButton';
import type { Column } from '../ui/columns';
import { DataTable } from '../ui/DataTable';
import { Empty, Loaded } from '../ui/Feedback';
import { Icon } from '../ui/Icon';
import { Menu } from '../ui/Menu';
import { toast } from '../ui/toast';
import { ValueAge } from './Age';
import { StateChips, StateGlyph } from './StateText';
import { Strip } from './Strip';
import { useUser } from './session';

export function worstDeviceFirst(a: DeviceRow, b: DeviceRow): number {
  return STATE_RANK[a.state] - STATE_RANK[b.state] || natural(a.name, b.name);
}

/** Shown when a device is asked and says nothing. */
function Rtt({ device }: { device: DeviceRow }) {
  if (device.rtt_ms === null) {
    return <span className="t3">{device.state === 'down' ? 'no reply' : '–'}</span>;
  }
  const { value, unit } = milliseconds(device.rtt_ms);
  return (
    <>
      {value} <span className="t3">{unit}</span>
    </>
  );
}

const NAME: Column<DeviceRow> = {
  id: 'name',
  head: 'Device',
  min: 124,
  share: 0.9,
  priority: 0,
  className: 'nm',
  roomFor: (device) => device.name,
  compare: (a, b) => natural(a.name, b.name),
  cell: (device) => (
    <span className="nm">
      <StateGlyph state={device.state} />
      <Link to="/devices/$deviceId" params={{ deviceId: device.id }} tabIndex={-1} title={device.name}>
        <bdi>{device.name}</bdi>
      </Link>
    </span>
  ),
};
const PLACE: Column<DeviceRow> = {
  id: 'place',
  head: 'Customer / site',
  min: 150,
  share: 1.75,
  priority: 5,
  roomFor: (device) => `${device.customer_name} / ${device.site_name}`,
  compare: (a, b) => natural(a.customer_name, b.customer_name) || natural(a.site_name, b.site_name),
  cell: (device) => (
    <span className="t2" title={`${device.customer_name} / ${device.site_name}`}>
      <bdi>{device.customer_name}</bdi> <span className="t3">/</span> <bdi>{device.site_name}</bdi>
    </span>
  ),
};
const STATE: Column<DeviceRow> = {
  id: 'state',
  head: 'State',
  min: 150,
  share: 2.8,
  priority: 4,
  compare: worstDeviceFirst,
  cell: (device) => (
    <span className={device.state === 'up' ? 't3' : undefined} title={device.state_reason ?? undefined}>
      <Changing value={device.state}>{STATE_WORD[device.state]}</Changing>
      {stateWhy(device) && <span className="t2"> · {stateWhy(device)}</span>}
      {device.muted_until && <span className="t3"> · muted</span>}
    </span>
  ),
};
const ADDRESS: Column<DeviceRow> = {
  id: 'address',
  head: 'Address',
  min: 96,
  priority: 6,
  compare: (a, b) => byAddress(a.address, b.address),
  cell: (device) => <span className="t2 num">{device.address}</span>,
};
const MODEL: Column<DeviceRow> = {
  id: 'model',
  head: 'Model',
  min: 120,
  share: 1.1,
  priority: 7,
  compare: (a, b) => natural(modelOf(a), modelOf(b)),
  cell: (device) => (
    <span className="t2" title={modelOf(device)}>
      {modelOf(device) || <span className="t3">not known</span>}
    </span>
  ),
};
const STRIP: Column<DeviceRow> = {
  id: 'strip',
  head: 'Last 24 h',
  min: 104,
  priority: 3,
  cell: (device) => <Strip strip={device.strip} />,
};
const RTT: Column<DeviceRow> = {
  id: 'rtt',
  head: 'Latency',
  min: 62,
  right: true,
  priority: 1,
  compare: (a, b) => (a.rtt_ms ?? -1) - (b.rtt_ms ?? -1),
  cell: (device) => <Rtt device={device} />,
};
const LOSS: Column<DeviceRow> = {
  id: 'loss',
  head: 'Loss',
  min: 48,
  right: true,
  priority: 8,
  compare: (a, b) => (a.loss_ratio ?? -1) - (b.loss_ratio ?? -1),
  cell: (device) =>
    device.loss_ratio === null ? (
      <span className="t3">–</span>
    ) : (
      <span className={device.loss_ratio > 0 ? undefined : 't3'}>{percent(device.loss_ratio)} %</span>
    ),
};
const AGE: Column<DeviceRow> = {
  id: 'age',
  head: 'Last value',
  min: 108,
  right: true,
  priority: 2,
  className: 'keep',
  compare: (a, b) => ((a.value_at ?? '') < (b.value_at ?? '') ? 1 : -1),
  cell: (device) => <ValueAge at={device.value_at} stale={device.state === 'unknown'} />,
};

const ALL_COLUMNS = [NAME, PLACE, STATE, ADDRESS, MODEL, STRIP, RTT, AGE];
const SITE_COLUMNS = [NAME, STATE, ADDRESS, MODEL, STRIP, RTT, LOSS, AGE];

function modelOf(device: DeviceRow): string {
  return [device.vendor, device.model].filter(Boolean).join(' ');
}

function textOf(device: DeviceRow): string {
  return `${device.name} ${device.address} ${modelOf(device)} ${device.role ?? ''} ${device.site_name} ${device.customer_name}`.toLowerCase();
}

const texts = new WeakMap<DeviceRow, string>();
/** What the filter looks in, made once per row. */
function searchText(device: DeviceRow): string {
  let text = texts.get(device);
  if (text === undefined) {
    text = textOf(device);
    texts.set(device, text);
  }
  return text;
}

interface Search {
  st?: string | undefined;
  q?: string | undefined;
  sort?: string | undefined;
}

interface Props {
  query: UseQueryResult<DeviceList>;
  /** One site's devices need no column that says so. */
  inSite?: boolean;
  search: Search;
  onSearch: (change: Search) => void;
  empty: ReactNode;
}

const keyOf = (device: DeviceRow) => device.id;
const rowClass = (device: DeviceRow) => (device.state === 'unknown' ? 'is-stale' : '');
const noHidden: readonly string[] = [];

export function DeviceTable({ query, inSite = false, search, onSearch, empty }: Props) {
  const navigate = useNavigate();
  const client = useQueryClient();
  const user = useUser();
  const hidden = preferencesOf(user).columns ?? noHidden;
  const [typed, setTyped] = useState(search.q ?? '');
  const q = useDeferredValue(typed);
  const picked: State | undefined = isState(search.st) ? search.st : undefined;
  const rows = query.data?.items;
  const matching = useMemo(
    () => (q.trim() === '' ? (rows ?? []) : (rows ?? []).filter((row) => rank(searchText(row), q) >= 0)),
    [rows, q],
  );
  const counts = useMemo(() => countStates(matching), [matching]);
  const shown = useMemo(
    () => (picked ? matching.filter((row) => row.state === picked) : matching),
    [matching, picked],
  );
  const columns = inSite ? SITE_COLUMNS : ALL_COLUMNS;
  const more = query.data && query.data.total > query.data.items.length;

  const exportCsv = (chosen: readonly DeviceRow[]) => {
    const head = [
      'name',
      'customer',
      'site',
      'state',
      'reason',
      'address',
      'vendor',
      'model',
      'rtt_ms',
      'loss_ratio',
      'value_at',
    ];
    const body = chosen.map((row) => [
      row.name,
      row.customer_name,
      row.site_name,
      STATE_WORD[row.state],
      row.state_reason ?? '',
      row.address,
      row.vendor ?? '',
      row.model ?? '',
      row.rtt_ms === null ? '' : String(row.rtt_ms),
      row.loss_ratio === null ? '' : String(row.loss_ratio),
      row.value_at ?? '',
    ]);
    download('devices.csv', csv([head, ...body]));
  };
  const toggle = (id: string) => {
    const next = hidden.includes(id) ? hidden.filter((one) => one !== id) : [...hidden, id];
    updateMe(client, { preferences: { ...user?.preferences, columns: next } }).catch((error: unknown) =>
      toast(say(error)),
    );
  };
  return (
    <section className="panel vt" aria-label="Devices">
      <div className="toolbar">
        <input
          className="input flt"
          type="search"
          data-filter
          aria-label="Filter devices by name, address, model, site"
          placeholder={rows ? `Filter ${count(rows.length)} devices` : 'Filter devices'}
          autoComplete="off"
          spellCheck={false}
          value={typed}
          onChange={(event) => {
            setTyped(event.target.value);
            onSearch({ ...search, q: event.target.value || undefined });
          }}
          onKeyDown={(event) => {
            if (event.key === 'Escape') {
              setTyped('');
              onSearch({ ...search, q: undefined });
              event.currentTarget.blur();
            }
          }}
        />
        <StateChips counts={counts} picked={picked} onPick={(st) => onSearch({ ...search, st })} />
        <span className="grow" />
        <span className="hide-s row">
          <Menu
            className="btn ghost"
            label="Choose columns"
            button={
              <>
                <Icon of={Columns3} />
                Columns
              </>
            }
            items={columns
              .filter((column) => column.priority > 0)
              .map((column) => ({
                text: column.head,
                checked: !hidden.includes(column.id),
                stay: true,
                onPick: () => toggle(column.id),
              }))}
          />
          <button
            type="button"
            className="btn ghost icon"
            aria-label="Export what is filtered as CSV"
            title="Export what is filtered as CSV"
            onClick={() => exportCsv(shown)}
          >
            <Icon of={Download} />
          </button>
        </span>
      </div>
      {more && (
        <p className="pad t2 small">
          The worst {count(query.data?.items.length ?? 0)} of {count(query.data?.total ?? 0)} are shown.
          Narrow to a customer to see all.
        </p>
      )}
      <Loaded query={query} what="Devices" rows={12}>
        {() => (
          <DataTable
            label="Devices"
            rows={shown}
            columns={columns}
            rowKey={keyOf}
            rowClass={rowClass}
            compare={worstDeviceFirst}
            sort={search.sort}
            onSort={(sort) => onSearch({ ...search, sort })}
            hidden={hidden}
            noun={['device', 'devices']}
            order="sorted by state, worst first"
            filter={`${picked ?? ''} ${q}`}
            selectedActs={(chosen) => (
              <>
                <button type="button" className="link" onClick={() => exportCsv(chosen)}>
                  Export
                </button>
                <button
                  type="button"
                  className="link"
                  onClick={() =>
                    void copyText(chosen.map((row) => row.address).join('\n')).then((done) =>
                      toast(
                        done
                          ? `${plural(chosen.length, 'address', 'addresses')} copied`
                          : 'The browser did not let the addresses be copied',
                      ),
                    )
                  }
                >
                  Copy addresses
                </button>
              </>
            )}
            onOpen={(device) => void navigate({ to: '/devices/$deviceId', params: { deviceId: device.id } })}
            empty={
              rows?.length === 0 ? (
                empty
              ) : (
                <Empty
                  title="No device matches"
                  acts={
                    <button
                      type="button"
                      className="btn"
                      onClick={() => {
                        setTyped('');
                        onSearch({ ...search, q: undefined, st: undefined });
                      }}
                    >
                      Clear the filter
                    </button>
                  }
                >
                  The filter looks at name, address, vendor, model, site and customer.
                </Empty>
              )
            }
          />
        )}
      </Loaded>
    </section>
  );
}
