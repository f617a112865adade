/**
 * The one table for long lists: only the rows in sight are in the page, sorted by header (shift adds a key), walked
 * by keyboard. Rows have a fixed height; columns give way by priority before anything is squeezed.
 */
import { type ColumnDef, flexRender, getCoreRowModel, useReactTable } from '@tanstack/react-table';
import { defaultRangeExtractor, useVirtualizer } from '@tanstack/react-virtual';
import { ArrowDown, ArrowUp } from 'lucide-react';
import {
  type KeyboardEvent,
  memo,
  type ReactNode,
  useCallback,
  useEffect,
  useMemo,
  useRef,
  useState,
} from 'react';
import { nextRow } from '../lib/grid';
import { count } from '../lib/units';
import { type Column, fitting, parseSort, roomFor, sortText } from './columns';
import { ROW_PX, useDensity } from './density';
import { Icon } from './Icon';
import { useHeldOrder } from './order';
import { NOTHING, ranged, toggled } from './selection';

interface Props<T> {
  label: string;
  rows: readonly T[];
  columns: readonly Column<T>[];
  rowKey: (row: T) => string;
  rowClass?: (row: T) => string;
  onOpen: (row: T) => void;
  /** The order without a chosen sort. */
  compare: (a: T, b: T) => number;
  /** "name" or "-rtt,name", as it stands in the URL. */
  sort: string | undefined;
  onSort: (sort: string | undefined) => void;
  hidden?: readonly string[];
  noun: [one: string, many: string];
  order: string;
  /** What is filtered by; another filter starts at the top. */
  filter?: string;
  empty: ReactNode;
  /** What can be done with the rows selected by x; without it nothing can be selected. */
  selectedActs?: (rows: readonly T[]) => ReactNode;
}

const OVERSCAN = 6;

export function DataTable<T>(props: Props<T>) {
  const {
    label,
    rows,
    columns,
    rowKey,
    rowClass,
    onOpen,
    compare,
    sort,
    onSort,
    hidden,
    noun,
    empty,
    selectedActs,
  } = props;
  const rowPx = ROW_PX[useDensity()];
  const [selection, setSelection] = useState(NOTHING);
  const body = useRef<HTMLDivElement>(null);
  const [width, setWidth] = useState(1200);
  const [gutter, setGutter] = useState(0);
  const [active, setActive] = useState<string | null>(null);
  const [busy, setBusy] = useState(false);
  const wantFocus = useRef(false);

  useEffect(() => {
    const element = body.current;
    if (!element) return;
    const observer = new ResizeObserver(([entry]) => {
      if (entry) setWidth(entry.contentRect.width);
      setGutter(element.offsetWidth - element.clientWidth);
    });
    observer.observe(element);
    return () => observer.disconnect();
  }, []);

  const room = useMemo(() => columns.map((column) => roomFor(column, rows)), [columns, rows]);
  const rooms = room.join();
  const shown = useMemo(() => {
    const needs = rooms.split(',').map(Number);
    const wide = columns.map((column, i) => ({ ...column, min: Math.max(column.min, needs[i] ?? 0) }));
    return fitting(
      wide.filter((column) => !hidden?.includes(column.id)),
      width,
    );
  }, [columns, rooms, hidden, width]);
  const sorting = useMemo(
    () => parseSort(sort).filter(({ id }) => columns.some((column) => column.id === id && column.compare)),
    [sort, columns],
  );
  const order = useMemo(() => {
    if (sorting.length === 0) return compare;
    const keys = sorting.map(({ id, desc }) => ({
      compare: columns.find((column) => column.id === id)?.compare ?? compare,
      sign: desc ? -1 : 1,
    }));
    return (a: T, b: T) => {
      for (const key of keys) {
        const result = key.compare(a, b) * key.sign;
        if (result !== 0) return result;
      }
      return compare(a, b);
    };
  }, [sorting, columns, compare]);

  const held = useHeldOrder(rows, order, rowKey, busy || active !== null || selection.keys.size > 0);
  const activeIndex = useMemo(
    () => (active === null ? -1 : held.rows.findIndex((row) => rowKey(row) === active)),
    [held.rows, active, rowKey],
  );

  const defs = useMemo<ColumnDef<T>[]>(
    () =>
      shown.map((column) => ({
        id: column.id,
        header: column.head,
        accessorFn: (row: T) => row,
        enableSorting: column.compare !== undefined,
        sortDescFirst: false,
      })),
    [shown],
  );
  const table = useReactTable<T>({
    // The table only reads its rows; its type does not say so.
    data: held.rows as T[],
    columns: defs,
    state: { sorting },
    manualSorting: true,
    isMultiSortEvent: (event) => event instanceof Object && 'shiftKey' in event && event.shiftKey === true,
    onSortingChange: (update) => onSort(sortText(typeof update === 'function' ? update(sorting) : update)),
    getCoreRowModel: getCoreRowModel(),
    getRowId: rowKey,
  });
  const total = held.rows.length;

  const rangeExtractor = useCallback(
    (range: Parameters<typeof defaultRangeExtractor>[0]) => {
      const indexes = defaultRangeExtractor(range);
      // The row with the focus stays in the page when it is scrolled out of sight.
      if (activeIndex < 0 || indexes.includes(activeIndex)) return indexes;
      return [...indexes, activeIndex].sort((a, b) => a - b);
    },
    [activeIndex],
  );
  const virtual = useVirtualizer({
    count: total,
    getScrollElement: () => body.current,
    estimateSize: () => rowPx,
    overscan: OVERSCAN,
    rangeExtractor,
    initialRect: { width: 1200, height: 640 },
  });
  // biome-ignore lint/correctness/useExhaustiveDependencies: runs when the height of a row changes
  useEffect(() => virtual.measure(), [rowPx]);
  // biome-ignore lint/correctness/useExhaustiveDependencies: runs when the filter or the sort changes
  useEffect(() => {
    if (body.current) body.current.scrollTop = 0;
  }, [props.filter, sort]);
  const items = virtual.getVirtualItems();
  const first = Math.min(total, Math.floor((virtual.scrollOffset ?? 0) / rowPx) + 1);
  const height = virtual.scrollRect?.height ?? 640;
  const last = Math.min(total, Math.floor(((virtual.scrollOffset ?? 0) + height) / rowPx));

  const go = (index: number) => {
    const row = held.rows[index];
    if (row === undefined) return;
    wantFocus.current = true;
    setActive(rowKey(row));
    virtual.scrollToIndex(index, { align: 'auto' });
  };
  useEffect(() => {
    if (!wantFocus.current || activeIndex < 0) return;
    const element = body.current?.querySelector<HTMLElement>(`[data-index="${activeIndex}"]`);
    if (element) {
      wantFocus.current = false;
      element.focus({ preventScroll: true });
    }
  });
  const onKeyDown = (event: KeyboardEvent) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === 'Enter' && event.target instanceof HTMLElement && event.target.tagName !== 'A') {
      const row = held.rows[activeIndex];
      if (row !== undefined) {
        event.preventDefault();
        onOpen(row);
      }
      return;
    }
    if (event.key === 'Escape') {
      if (selection.keys.size > 0) setSelection(NOTHING);
      else setActive(null);
      return;
    }
    if ((event.key === 'x' || event.key === 'X') && selectedActs && active !== null && activeIndex >= 0) {
      event.preventDefault();
      setSelection((now) =>
        event.shiftKey ? ranged(now, active, held.rows.map(rowKey)) : toggled(now, active),
      );
      return;
    }
    const page = Math.max(1, Math.floor(height / rowPx) - 1);
    const next = nextRow(event.key, activeIndex, total, page);
    if (next === null) return;
    event.preventDefault();
    go(next);
  };

  const chosen = useMemo(
    () => (selection.keys.size === 0 ? [] : held.rows.filter((row) => selection.keys.has(rowKey(row)))),
    [selection, held.rows, rowKey],
  );
  const latestOpen = useRef(onOpen);
  latestOpen.current = onOpen;
  const open = useCallback((row: T) => latestOpen.current(row), []);
  const template = shown.map((column) => `minmax(${column.min}px, ${column.share ?? 0.001}fr)`).join(' ');
  return (
    // biome-ignore lint/a11y/noStaticElementInteractions: the pointer over the rows only holds their order
    <div
      className="vt"
      onMouseEnter={() => setBusy(true)}
      onMouseLeave={() => setBusy((body.current?.scrollTop ?? 0) > 0)}
    >
      <div
        className="vt"
        {...(total > 0
          ? {
              role: 'grid',
              'aria-label': label,
              'aria-rowcount': total + 1,
              'aria-colcount': shown.length,
              'aria-multiselectable': selectedActs !== undefined,
            }
          : {})}
      >
        <div
          className="vt-head"
          {...(total > 0 ? { role: 'row', 'aria-rowindex': 1 } : { hidden: true })}
          style={{ gridTemplateColumns: template, paddingRight: 14 + gutter }}
          tabIndex={-1}
        >
          {table.getFlatHeaders().map((header, i) => {
            const sorted = header.column.getIsSorted();
            return (
              <div
                key={header.id}
                role="columnheader"
                tabIndex={-1}
                aria-sort={sorted === 'asc' ? 'ascending' : sorted === 'desc' ? 'descending' : 'none'}
                className={shown[i]?.right ? 'r' : undefined}
              >
                {header.column.getCanSort() ? (
                  <button
                    type="button"
                    title="Sort; shift adds a second key"
                    onClick={header.column.getToggleSortingHandler()}
                  >
                    {flexRender(header.column.columnDef.header, header.getContext())}
                    {sorted && <Icon of={sorted === 'asc' ? ArrowUp : ArrowDown} small />}
                  </button>
                ) : (
                  flexRender(header.column.columnDef.header, header.getContext())
                )}
              </div>
            );
          })}
        </div>
        {/* biome-ignore lint/a11y/noStaticElementInteractions: a row group as soon as it has rows */}
        <div
          className="vt-body"
          ref={body}
          {...(total > 0 ? { role: 'rowgroup' } : {})}
          onKeyDown={onKeyDown}
          onScroll={(event) => setBusy(event.currentTarget.scrollTop > 0)}
          onBlur={(event) => {
            if (!event.currentTarget.contains(event.relatedTarget)) setActive(null);
          }}
        >
          {total === 0 ? (
            empty
          ) : (
            <div role="presentation" style={{ height: virtual.getTotalSize(), position: 'relative' }}>
              {items.map((item) => {
                const row = held.rows[item.index];
                if (row === undefined) return null;
                const id = rowKey(row);
                const on = item.index === activeIndex;
                return (
                  <Row
                    key={id}
                    id={id}
                    row={row}
                    index={item.index}
                    columns={shown}
                    template={template}
                    className={rowClass?.(row) ?? ''}
                    on={on}
                    selected={selection.keys.has(id)}
                    rowPx={rowPx}
                    tabStop={on || (activeIndex < 0 && item.index === 0)}
                    onPick={setActive}
                    onOpen={open}
                  />
                );
              })}
            </div>
          )}
        </div>
      </div>
      <div className="vt-foot">
        <span>
          {total > 0 && `${count(first)}–${count(Math.max(first, last))} of `}
          {count(total)} {total === 1 ? noun[0] : noun[1]}
        </span>
        {chosen.length > 0 && (
          <span className="row" role="status">
            <b className="b">{count(chosen.length)} selected</b>
            {selectedActs?.(chosen)}
            <button type="button" className="link" onClick={() => setSelection(NOTHING)}>
              Clear
            </button>
          </span>
        )}
        <span className="hide-s">{sorting.length === 0 ? props.order : 'sorted by hand'}</span>
        {held.moved > 0 && (
          <button type="button" className="link" onClick={held.release}>
            {count(held.moved)} {held.moved === 1 ? 'row' : 'rows'} would move
          </button>
        )}
        <span className="keys" aria-hidden="true">
          <span>
            <span className="kbd">↑↓</span> move
          </span>
          <span>
            <span className="kbd">Enter</span> open
          </span>
          {selectedActs && (
            <span>
              <span className="kbd">x</span> select
            </span>
          )}
          <span>
            <span className="kbd">/</span> filter
          </span>
        </span>
      </div>
    </div>
  );
}

interface RowProps<T> {
  id: string;
  row: T;
  index: number;
  columns: readonly Column<T>[];
  template: string;
  className: string;
  on: boolean;
  selected: boolean;
  rowPx: number;
  tabStop: boolean;
  onPick: (id: string) => void;
  onOpen: (row: T) => void;
}

function PlainRow<T>({
  id,
  row,
  index,
  columns,
  template,
  className,
  on,
  selected,
  rowPx,
  tabStop,
  onPick,
  onOpen,
}: RowProps<T>) {
  return (
    // biome-ignore lint/a11y/useKeyWithClickEvents: the row group takes the keys for all rows
    <div
      data-index={index}
      className={`vt-row${on ? ' on' : ''} ${className}`}
      role="row"
      aria-rowindex={index + 2}
      aria-selected={selected}
      tabIndex={tabStop ? 0 : -1}
      style={{ transform: `translateY(${index * rowPx}px)`, gridTemplateColumns: template }}
      onFocus={() => onPick(id)}
      onClick={() => onPick(id)}
      onDoubleClick={() => onOpen(row)}
    >
      {columns.map((column) => (
        // biome-ignore lint/a11y/useFocusableInteractive: the row has the focus, its cells are read with it
        <div
          key={column.id}
          role="gridcell"
          className={`${column.right ? 'r num' : ''} ${column.className ?? ''}`}
        >
          {column.cell(row)}
        </div>
      ))}
    </div>
  );
}

/** Drawn again only when something of the row changed: scrolling draws the new rows alone. */
// `memo` forgets that the component is generic; the props are the same.
const Row = memo(PlainRow) as typeof PlainRow;
