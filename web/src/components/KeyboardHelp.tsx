import { Dialog } from '../ui/Dialog';

const GROUPS: [string, [string[], string][]][] = [
  [
    'Everywhere',
    [
      [['Ctrl', 'K'], 'search, go to, run'],
      [['?'], 'this help'],
      [['t'], 'dark or light'],
      [['/'], 'filter the list'],
      [['Esc'], 'close, clear'],
    ],
  ],
  [
    'Go to',
    [
      [['g', 'o'], 'overview'],
      [['g', 'i'], 'incidents'],
      [['g', 'c'], 'customers'],
      [['g', 'd'], 'devices'],
      [['g', 'p'], 'probes'],
    ],
  ],
  [
    'In a list',
    [
      [['j', 'k'], 'down, up; arrows too'],
      [['Home', 'End'], 'first, last'],
      [['Enter'], 'open'],
      [['x'], 'select a device'],
      [['Shift', 'x'], 'select up to here'],
    ],
  ],
  [
    'On an incident',
    [
      [['a'], 'acknowledge'],
      [['c'], 'write a note'],
    ],
  ],
];

export function KeyboardHelp({ onClose }: { onClose: () => void }) {
  return (
    <Dialog title="Keyboard" onClose={onClose} light>
      <div className="body">
        {GROUPS.map(([name, keys]) => (
          <section key={name}>
            <h3 className="t3 small">{name}</h3>
            <dl className="keys-list">
              {keys.map(([press, what]) => (
                <div key={what} style={{ display: 'contents' }}>
                  <dt className="row">
                    {press.map((key) => (
                      <span className="kbd" key={key}>
                        {key}
                      </span>
                    ))}
                  </dt>
                  <dd className="t2">{what}</dd>
                </div>
              ))}
            </dl>
          </section>
        ))}
        <p className="t3 small">Single keys can be switched off in your profile.</p>
      </div>
      <footer>
        <button type="button" className="btn lg" onClick={onClose}>
          Close
        </button>
      </footer>
    </Dialog>
  );
}
