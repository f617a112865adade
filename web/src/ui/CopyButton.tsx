import { Check, Copy } from 'lucide-react';
import { useEffect, useState } from 'react';
import { Icon } from './Icon';

/** Copies text; says so on the button itself. Without the clipboard (plain http) it selects by hand instead. */
export function CopyButton({ text, label = 'Copy' }: { text: string; label?: string }) {
  const [copied, setCopied] = useState<'no' | 'yes' | 'failed'>('no');
  useEffect(() => {
    if (copied === 'no') return;
    const timer = setTimeout(() => setCopied('no'), 3000);
    return () => clearTimeout(timer);
  }, [copied]);
  const copy = async () => {
    setCopied((await copyText(text)) ? 'yes' : 'failed');
  };
  return (
    <button type="button" className="btn" onClick={() => void copy()} aria-live="polite">
      <Icon of={copied === 'yes' ? Check : Copy} />
      {copied === 'yes' ? 'Copied' : copied === 'failed' ? 'Select it by hand' : label}
    </button>
  );
}

/** False when the browser did not let it. */
export async function copyText(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const area = document.createElement('textarea');
    area.value = text;
    area.className = 'sr';
    document.body.append(area);
    area.select();
    const done = document.execCommand('copy');
    area.remove();
    return done;
  }
}
