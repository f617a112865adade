import type { LucideIcon } from 'lucide-react';

/** A lucide icon as the console draws them: 16 px, stroke 1.75, never read out. */
export function Icon({ of: Shape, small = false }: { of: LucideIcon; small?: boolean }) {
  return (
    <Shape className={small ? 'ico sm' : 'ico'} strokeWidth={1.75} aria-hidden="true" focusable="false" />
  );
}
