import { useQueryClient } from '@tanstack/react-query';
import { useNavigate } from '@tanstack/react-router';
import { useState } from 'react';
import { forgetDevice, updateDevice } from '../api/changes';
import { useNow } from '../api/clock';
import type { Device } from '../api/types';
import { absolute } from '../lib/time';
import { DangerDialog, FormDialog } from '../ui/Dialog';
import { TextField } from '../ui/Field';
import { toast } from '../ui/toast';
import { useZone } from './zone';

interface Props {
  device: Device;
  onClose: () => void;
}

export function RenameDialog({ device, onClose }: Props) {
  const client = useQueryClient();
  const [name, setName] = useState(device.display_name ?? '');
  const own = device.sys_name || device.names[0] || device.address;
  return (
    <FormDialog
      title={`Rename ${device.name}`}
      act="Save name"
      onClose={onClose}
      onAct={async () => {
        const before = device.display_name;
        await updateDevice(client, device.id, { display_name: name.trim() || null });
        toast('Name saved', () => void updateDevice(client, device.id, { display_name: before }));
      }}
    >
      <TextField
        label="Name in the console"
        value={name}
        onChange={setName}
        placeholder={own}
        autoFocus
        help={`Left empty, it is called what it calls itself: ${own}`}
      />
    </FormDialog>
  );
}

export function NoteDialog({ device, onClose }: Props) {
  const client = useQueryClient();
  const [note, setNote] = useState(device.note);
  return (
    <FormDialog
      title={`Note on ${device.name}`}
      act="Save note"
      onClose={onClose}
      onAct={async () => {
        await updateDevice(client, device.id, { note });
        toast('Note saved');
      }}
    >
      <TextField
        label="Note"
        value={note}
        onChange={setNote}
        rows={5}
        autoFocus
        help="Rack, contract, what one should know."
      />
    </FormDialog>
  );
}

const FOR_HOURS = [1, 4, 8, 24, 72, 168];

export function MuteDialog({ device, onClose }: Props) {
  const client = useQueryClient();
  const now = useNow();
  const zone = useZone();
  const [hours, setHours] = useState(4);
  const until = new Date(now + hours * 3_600_000).toISOString();
  return (
    <FormDialog
      title={`Mute ${device.name}`}
      act="Mute device"
      onClose={onClose}
      onAct={async () => {
        await updateDevice(client, device.id, { muted_until: until });
        toast(`${device.name} is muted`, () => void updateDevice(client, device.id, { muted_until: null }));
      }}
    >
      <p className="t2">It is still measured and shown. It opens no incident and sends nothing until then.</p>
      <div className="row wrap">
        {FOR_HOURS.map((n) => (
          <button
            key={n}
            type="button"
            className="chip"
            aria-pressed={n === hours}
            onClick={() => setHours(n)}
          >
            {n < 24 ? `${n} h` : n === 24 ? '1 day' : `${n / 24} days`}
          </button>
        ))}
      </div>
      <p className="num">Until {absolute(until, zone)}</p>
    </FormDialog>
  );
}

export function ForgetDialog({ device, onClose }: Props) {
  const client = useQueryClient();
  const navigate = useNavigate();
  return (
    <DangerDialog
      title={`Forget ${device.name}?`}
      name={device.name}
      act={`Forget ${device.name}`}
      onClose={onClose}
      onAct={async () => {
        await forgetDevice(client, device.id);
        toast(`${device.name} was forgotten`);
        await navigate({
          to: '/customers/$customerId/$siteId',
          params: { customerId: device.customer_id, siteId: device.site_id },
        });
      }}
    >
      <p>
        It disappears from {device.site_name}, with its history, and is no longer measured. If it still
        answers there, the next discovery finds it as a new device without that history. To only keep it
        quiet, mute it.
      </p>
    </DangerDialog>
  );
}
