/** The mark: three bars, the last one lit. */
export function Brand() {
  return (
    <div className="brand">
      <svg viewBox="0 0 18 18" aria-hidden="true">
        <rect x="1" y="10" width="4" height="7" rx="1" fill="var(--text-2)" />
        <rect x="7" y="6" width="4" height="11" rx="1" fill="var(--text-2)" />
        <rect x="13" y="1" width="4" height="16" rx="1" fill="var(--accent)" />
      </svg>
      <span className="lb">Farwatch</span>
    </div>
  );
}
