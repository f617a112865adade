import { act, fireEvent, render, screen, within } from '@testing-library/react';
import { describe, expect, it, vi } from 'vitest';
import { type Column, fitting, parseSort, roomNeeded, sortText } from './columns';
import { DataTable } from './DataTable';
import { countMoved, inHeldOrder } from './order';

interface Thing {
  id: string;
  size: number;
}
const COLUMNS: Column<Thing>[] = [
  {
    id: 'id',
    head: 'Name',
    min: 100,
    priority: 0,
    cell: (thing) => thing.id,
    compare: (a, b) => (a.id < b.id ? -1 : 1),
  },
  {
    id: 'size',
    head: 'Size',
    min: 60,
    priority: 1,
    cell: (thing) => thing.size,
    compare: (a, b) => a.size - b.size,
  },
  { id: 'note', head: 'Note', min: 300, priority: 2, cell: () => '<b>as text</b>' },
];
const things = (n: number): Thing[] =>
  Array.from({ length: n }, (_, i) => ({ id: `thing-${String(i).padStart(5, '0')}`, size: n - i }));
const keyOf = (thing: Thing) => thing.id;
const byName = (a: Thing, b: Thing) => (a.id < b.id ? -1 : 1);

function table(rows: Thing[], onOpen = vi.fn(), onSort = vi.fn(), sort?: string) {
  render(
    <DataTable
      label="Things"
      rows={rows}
      columns={COLUMNS}
      rowKey={keyOf}
      compare={byName}
      sort={sort}
      onSort={onSort}
      onOpen={onOpen}
      noun={['thing', 'things']}
      order="by name"
      selectedActs={() => null}
      empty={<p>none</p>}
    />,
  );
  return { onOpen, onSort };
}

describe('the table', () => {
  it('holds ten thousand rows with a handful in the page, and says how many there are', () => {
    table(things(10_000));
    const grid = screen.getByRole('grid', { name: 'Things' });
    expect(grid.getAttribute('aria-rowcount')).toBe('10001');
    expect(within(grid).getAllByRole('row').length).toBeLessThan(60);
  });
  it('is walked by keys and opened with Enter, the focus on one row', () => {
    const { onOpen } = table(things(500));
    const rows = () => screen.getAllByRole('row').slice(1);
    act(() => rows()[0]?.focus());
    for (const key of ['j', 'ArrowDown', 'k']) {
      if (document.activeElement) fireEvent.keyDown(document.activeElement, { key });
    }
    expect(document.activeElement?.textContent).toContain('thing-00001');
    expect(rows().filter((row) => row.tabIndex === 0)).toHaveLength(1);
    if (document.activeElement) fireEvent.keyDown(document.activeElement, { key: 'Enter' });
    expect(onOpen).toHaveBeenCalledWith(expect.objectContaining({ id: 'thing-00001' }));
  });
  it('selects by x and shift-x, says how many, and Escape clears', () => {
    table(things(500));
    const press = (key: string, shiftKey = false) => {
      if (document.activeElement) fireEvent.keyDown(document.activeElement, { key, shiftKey });
    };
    act(() => screen.getAllByRole('row')[1]?.focus());
    press('x');
    press('j');
    press('j');
    press('X', true);
    expect(screen.getByText('3 selected')).toBeTruthy();
    const selected = () =>
      screen.getAllByRole('row').filter((row) => row.getAttribute('aria-selected') === 'true');
    expect(selected().map((row) => row.textContent)).toEqual(
      [0, 1, 2].map((i) => expect.stringContaining(`thing-0000${i}`)),
    );
    press('Escape');
    expect(selected()).toHaveLength(0);
    expect(screen.queryByText('3 selected')).toBeNull();
  });
  it('shows markup as text', () => {
    table(things(1));
    expect(screen.getByText('<b>as text</b>')).toBeTruthy();
  });
  it('sorts by header, and shift adds a key', () => {
    const { onSort } = table(things(3), vi.fn(), vi.fn(), 'size');
    expect(screen.getAllByRole('row')[1]?.textContent).toContain('thing-00002');
    fireEvent.click(screen.getByRole('button', { name: 'Name' }), { shiftKey: true });
    expect(onSort).toHaveBeenLastCalledWith('size,id');
    fireEvent.click(screen.getByRole('button', { name: 'Size' }));
    expect(onSort).toHaveBeenLastCalledWith('-size');
  });
  it('leaves out columns by priority and never the first', () => {
    expect(fitting(COLUMNS, 2000).map(({ id }) => id)).toEqual(['id', 'size', 'note']);
    expect(fitting(COLUMNS, 300).map(({ id }) => id)).toEqual(['id', 'size']);
    expect(fitting(COLUMNS, 10).map(({ id }) => id)).toEqual(['id']);
  });
  it('makes room for names, not for one monster', () => {
    const names = Array.from({ length: 40 }, () => 'core-switch-12');
    expect(roomNeeded([...names, 'x'.repeat(500)])).toBe(roomNeeded(names));
    expect(roomNeeded(['x'.repeat(500)])).toBe(216);
  });
  it('keeps its sort in the URL', () => {
    expect(sortText(parseSort('-rtt,name'))).toBe('-rtt,name');
    expect(sortText(parseSort(undefined))).toBeUndefined();
  });
});

describe('an order that is held', () => {
  it('keeps rows where they are, takes gone ones away and adds new ones at the end', () => {
    const [a, b, c] = things(3) as [Thing, Thing, Thing]; // three were made
    const fresh = { id: 'new', size: 0 };
    expect(inHeldOrder([fresh, c, a], [b.id, a.id, c.id], keyOf)).toEqual([a, c, fresh]);
    expect(countMoved([a, b, c], [c, b, a])).toBe(2);
  });
});
